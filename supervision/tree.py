"""Tree: the cells of a tree of specs, and who is whose child. Activation and passivation of dynamic children."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from ..actors import lifecycle
from ..actors.cell import Cell
from ..actors.errors import ActorNotFound
from ..actors.exits import ExitReason
from ..actors.status import GONE, PASSIVE, STOPPED, UP
from ..persistence.errors import UnderstudyError
from .errors import TreeGaveUp
from .recipe import Recipe, make_recipe
from .spec import Spec, SupervisorSpec
from .supervisor import Supervisor, shutdown_seconds

if TYPE_CHECKING:
    from ..actors.system import ActorSystem

__all__ = ("Tree",)

IDLE_TIMEOUT_S = 60.0
"""Of children under a template, where neither their class nor their spec says otherwise."""
SWEEP_PER_TIMEOUT = 4
"""How often within the idle timeout idle children are looked for."""


class Tree:
    """Implements the system's `Activator`."""

    def __init__(self, system: ActorSystem, spec: SupervisorSpec) -> None:
        self.system = system
        self.spec = spec
        self.last_words: tuple[str, ExitReason] | None = None
        """Who broke the camel's back: the child whose exit made a supervisor give up."""
        self._children: dict[str, dict[str, Cell]] = {}
        self._templates: dict[str, Recipe] = {}
        self._sweeps: dict[str, asyncio.TimerHandle] = {}

    def plant(self) -> Cell:
        """Make the cells of every static spec; nothing starts. Returns the root's."""
        return self._make(self.spec, None)

    def gave_up(self, reason: ExitReason) -> UnderstudyError:
        """The error of a root that exited, with the child that brought it down."""
        history = () if self.last_words is None else (f"{self.last_words[0]} exited: {self.last_words[1]}",)
        return TreeGaveUp(self.spec_address, reason, history)

    @property
    def spec_address(self) -> str:
        return f"/{self.spec.id}"

    # -- who is whose child ----------------------------------------------------------------------------

    def children_of(self, cell: Cell) -> list[Cell]:
        """In start order."""
        return list(self._children.get(cell.address, {}).values())

    def static_children_of(self, cell: Cell) -> list[Cell]:
        return [child for child in self.children_of(cell) if not child.on_demand]

    def child(self, parent: Cell, address: str) -> Cell | None:
        return self._children.get(parent.address, {}).get(address)

    def drop(self, child: Cell) -> None:
        """Forget a child and its spec; state and mail stay in the store."""
        child.fence(STOPPED)
        self.system.remove(child)

    def forget(self, child: Cell) -> None:
        """It is nobody's child any more."""
        if child.supervisor is not None:
            siblings = self._children.get(child.supervisor.address, {})
            if siblings.get(child.address) is child:
                del siblings[child.address]

    def started(self, cell: Cell) -> None:
        """A supervisor is up: mail may start its dynamic children now."""
        for child in self.children_of(cell):
            if child.on_demand:
                child.wake()

    # -- making cells ------------------------------------------------------------------------------------

    def _make(self, spec: Spec, supervisor: Cell | None) -> Cell:
        address = f"{'' if supervisor is None else supervisor.address}/{spec.id}"
        if isinstance(spec, SupervisorSpec):
            cell = self._supervisor_cell(spec, address, supervisor)
        else:
            cell = self._actor_cell(make_recipe(spec), address, supervisor)
        self._enter(cell)
        if isinstance(spec, SupervisorSpec):
            if spec.template is not None:
                self._templates[address] = make_recipe(spec.template)
            for child in spec.children:
                self._make(child, cell)
        return cell

    def _supervisor_cell(self, spec: SupervisorSpec, address: str, supervisor: Cell | None) -> Cell:
        definition = Supervisor.__definition__

        def args() -> dict[str, Any]:
            return {"spec": spec, "tree": self}

        return Cell(self.system, address, definition, definition.options, args, supervisor=supervisor, spec=spec)

    def _actor_cell(self, recipe: Recipe, address: str, supervisor: Cell | None, *, on_demand: bool = False) -> Cell:
        return Cell(
            self.system,
            address,
            recipe.cls.__definition__,
            recipe.options,
            recipe.kwargs,
            supervisor=supervisor,
            spec=recipe.spec,
            on_demand=on_demand,
        )

    def _enter(self, cell: Cell) -> None:
        if cell.supervisor is not None:
            self._children.setdefault(cell.supervisor.address, {})[cell.address] = cell
        self.system.add(cell)

    # -- dynamic children ------------------------------------------------------------------------------------

    def activate(self, parent: Cell, key: str) -> Cell | None:
        """The cell for an address under a template; it starts with its first message."""
        recipe = self._templates.get(parent.address)
        if recipe is None:
            return None
        if not key.isprintable() or len(key) > 200:
            raise ActorNotFound(f"{parent.address}/{key}", "a key is printable and at most 200 characters long")
        spec = cast(SupervisorSpec, parent.spec)
        siblings = self._children.setdefault(parent.address, {})
        if len(siblings) >= spec.max_children:
            self._make_room(parent, siblings)
        cell = self._actor_cell(recipe, f"{parent.address}/{key}", parent, on_demand=True)
        cell.last_used = self.system.runtime.monotonic()
        self._enter(cell)
        if parent.address not in self._sweeps:
            self._schedule_sweep(parent)
        return cell

    def _idle_timeout_s(self, parent: Cell) -> float | None:
        recipe = self._templates[parent.address]
        if recipe.options.idle_timeout_s is None and recipe.spec.idle_timeout_s is None:
            return IDLE_TIMEOUT_S
        return recipe.options.idle_timeout_s

    def _schedule_sweep(self, parent: Cell) -> None:
        timeout_s = self._idle_timeout_s(parent)
        if timeout_s is not None:
            self._sweeps[parent.address] = self.system.runtime.call_later(
                timeout_s / SWEEP_PER_TIMEOUT, self._sweep, parent, timeout_s
            )

    def _sweep(self, parent: Cell, timeout_s: float) -> None:
        del self._sweeps[parent.address]
        if self.system.closing:
            return
        horizon = self.system.runtime.monotonic() - timeout_s
        for child in self.children_of(parent):
            if child.last_used <= horizon:
                self._passivate(child)
        if self._children.get(parent.address):
            self._schedule_sweep(parent)

    def _make_room(self, parent: Cell, siblings: dict[str, Cell]) -> None:
        """At `max_children`: the child that has been idle longest leaves memory."""
        idle = [child for child in siblings.values() if self._at_rest(child)]
        if idle:
            self._passivate(min(idle, key=lambda child: child.last_used))

    def _at_rest(self, child: Cell) -> bool:
        """Nothing waits, nothing runs, everything it did is on disk."""
        return (
            not child.queued
            and not child.mailbox.count
            and child.turn is None
            and child.admission is None
            and child.status in (UP, PASSIVE)
            and child.after <= self.system.committer.committed
            and not self.system.delays.entries_of(child.address)
        )

    def _passivate(self, child: Cell) -> None:
        """Let an idle child leave memory; its next message brings it back. That is no exit."""
        if not self._at_rest(child):
            return
        if child.status is UP and child.definition.overrides_on_stop:
            child.queued = True  # nothing else may begin meanwhile; a message waits for the next incarnation
            self.system.background(self._stop_and_leave(child), f"understudy passivation of {child.address}")
            return
        self._leave(child)

    async def _stop_and_leave(self, child: Cell) -> None:
        await lifecycle.stop(
            child,
            ExitReason.shutdown("idle"),
            shutdown_seconds(cast(Spec, child.spec).shutdown),
            then=PASSIVE,
        )
        child.queued = False
        if child.mailbox.count or child.after > self.system.committer.committed:
            child.wake()
            return
        self._leave(child)

    def _leave(self, child: Cell) -> None:
        if child.status is GONE:
            return
        child.fence(PASSIVE)
        self.system.remove(child)
        self.system.events.emit("actor.passivated", child.address)

    async def stop_together(self, children: list[Cell]) -> None:
        """Dynamic children: all at once, each with its own shutdown time (OTP: one timeout for all)."""
        running = [child for child in children if child.status not in (PASSIVE, STOPPED, GONE)]

        async def stop(child: Cell) -> None:
            timeout_s = shutdown_seconds(cast(Spec, child.spec).shutdown)
            reason = ExitReason.killed() if timeout_s == 0 else ExitReason.shutdown()
            await lifecycle.stop(child, reason, timeout_s, then=PASSIVE)

        await asyncio.gather(*(stop(child) for child in running))
