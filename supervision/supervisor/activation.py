"""Activation: children under a template come with their first message, and leave memory when they are idle."""

from __future__ import annotations

import asyncio
import heapq
from typing import TYPE_CHECKING, cast

from ...actors.execution.shutdown import IDLE
from ...actors.execution.shutdown import stop as stop_cell
from ...actors.kernel.cell import GONE, PASSIVE, UP, Cell
from ...actors.kernel.errors import ActorNotFound
from ..spec.fields import ID_LENGTH_MAX, is_key
from ..spec.resolution import Resolution
from ..spec.spec import Spec, SupervisorSpec, shutdown_seconds
from .child_table import ChildTable

if TYPE_CHECKING:
    from ...actors.kernel.kernel import Kernel

__all__ = ("Activation",)

IDLE_TIMEOUT_S = 60.0
"""Seconds. It holds for children under a template, unless their class or their spec says otherwise."""
SWEEP_PER_TIMEOUT = 4
"""How many times within the idle timeout the sweep looks for idle children."""


class Activation:
    """Makes the cells of children under templates, and lets idle ones leave memory."""

    def __init__(self, kernel: Kernel, children: ChildTable) -> None:
        self.kernel = kernel
        self._children = children
        self.templates: dict[str, Resolution] = {}
        """The resolved template of each supervisor that has one, by its address."""
        self._sweeps: dict[str, asyncio.TimerHandle] = {}

    def activate(self, parent: Cell, key: str) -> Cell | None:
        """The cell for an address under a template; it starts with its first message."""
        resolution = self.templates.get(parent.address)
        if resolution is None:
            return None
        if not is_key(key):
            why = f"a name in an address has 1 to {ID_LENGTH_MAX} printable characters"
            raise ActorNotFound(f"{parent.address}/{key}", why, "Use a shorter name, without control characters")
        spec = cast(SupervisorSpec, parent.spec)
        siblings = self._children.siblings(parent.address)
        if len(siblings) >= spec.max_children:
            self._make_room(siblings)
        cell = Cell(
            self.kernel,
            f"{parent.address}/{key}",
            resolution.cls.__definition__,
            resolution.options,
            resolution.kwargs,
            supervisor=parent,
            spec=resolution.spec,
            on_demand=True,
        )
        cell.used(self.kernel.runtime.monotonic())
        self._children.enter(cell)
        if parent.address not in self._sweeps:
            self._schedule_sweep(parent)
        return cell

    def _idle_timeout_s(self, parent: Cell) -> float | None:
        resolution = self.templates[parent.address]
        if resolution.options.idle_timeout_s is None and resolution.spec.idle_timeout_s is None:
            return IDLE_TIMEOUT_S
        return resolution.options.idle_timeout_s

    def _schedule_sweep(self, parent: Cell) -> None:
        timeout_s = self._idle_timeout_s(parent)
        if timeout_s is not None:
            self._sweeps[parent.address] = self.kernel.runtime.call_later(
                timeout_s / SWEEP_PER_TIMEOUT, self._sweep, parent, timeout_s
            )

    def _sweep(self, parent: Cell, timeout_s: float) -> None:
        del self._sweeps[parent.address]
        if self.kernel.closing:
            return
        horizon = self.kernel.runtime.monotonic() - timeout_s
        for child in self._children.of(parent):
            if child.last_used <= horizon:
                self._passivate(child)
        if self._children.siblings(parent.address):
            self._schedule_sweep(parent)

    def _make_room(self, siblings: dict[str, Cell]) -> None:
        """At `max_children`: let those that have been idle longest leave memory.

        A hundredth of them leaves at once, because a look through all of them for each newcomer would take longer than
        everything else.
        """
        idle = (child for child in siblings.values() if self._at_rest(child))
        for child in heapq.nsmallest(max(1, len(siblings) // 100), idle, key=lambda child: child.last_used):
            self._passivate(child)

    def _at_rest(self, child: Cell) -> bool:
        """Nothing waits, nothing runs, everything it did is on disk."""
        return (
            not child.queued
            and not child.mailbox.count
            and child.turn is None
            and child.admission is None
            and child.status in (UP, PASSIVE)
            and child.after <= self.kernel.commits.committed
            and not self.kernel.delayed.has(child.address)
            and not self.kernel.keeps(child)
        )

    def _passivate(self, child: Cell) -> None:
        """Let an idle child leave memory; its next message brings it back. That is no exit."""
        if not self._at_rest(child):
            return
        if child.status is UP and child.definition.overrides_on_stop:
            child.reserve()  # nothing else may begin meanwhile; a message waits for the next incarnation
            self.kernel.background(self._stop_and_leave(child), f"greenroom passivation of {child.address}")
            return
        self._leave(child)

    async def _stop_and_leave(self, child: Cell) -> None:
        await stop_cell(
            child,
            IDLE,
            shutdown_seconds(cast(Spec, child.spec).shutdown),
            then=PASSIVE,
        )
        child.unreserve()
        if child.mailbox.count or child.after > self.kernel.commits.committed:
            child.wake()
            return
        self._leave(child)

    def _leave(self, child: Cell) -> None:
        if child.status is GONE:
            return
        child.fence(PASSIVE)
        self.kernel.router.remove(child)
        self.kernel.events.emit("actor.passivated", child.address)
