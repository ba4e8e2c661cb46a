"""Supervisor: an actor whose children are actors.

It reacts to `Exited` by its strategy (docs/runtime-semantics.md, section 7). Its mailbox is in memory, since what
it reacts
to is; what must outlive the node is in rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from loguru import logger

from ..actors import lifecycle
from ..actors.actor import Actor, handler
from ..actors.cell import Cell
from ..actors.errors import Ignore, StartFailed
from ..actors.exits import Exited, ExitReason
from ..actors.message import Message
from ..actors.status import DOWN, GONE, PASSIVE, STOPPED, UP
from .intensity import Intensity
from .spec import Shutdown, Spec, SupervisorSpec
from .strategies import concerned

if TYPE_CHECKING:
    from ..actors.incarnation import Incarnation
    from .tree import Tree

__all__ = ("RestartRetry", "Supervisor", "shutdown_seconds")


class RestartRetry(Message):
    """To self: a restart's start failed, try again. A message, so that administration works in between (OTP)."""

    address: str
    resume: tuple[str, ...]
    """The children still to be started, in order."""


class Supervisor(Actor[None]):
    """One supervisor of the tree. `tree` makes and knows the cells of its children."""

    durable = False
    handler_timeout_s = None
    capacity = 1_000_000

    def __init__(self, *, spec: SupervisorSpec, tree: Tree) -> None:
        self.spec = spec
        self.tree = tree
        self.intensity = Intensity(spec.intensity, spec.period_s)
        self.given_up = False

    @property
    def cell(self) -> Cell:
        return cast("Incarnation", self._context).cell

    @property
    def children(self) -> list[Cell]:
        """In start order."""
        return self.tree.children_of(self.cell)

    # -- start and stop ------------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Start the children in order; if one fails, stop the started ones in reverse and fail (OTP)."""
        for child in self.tree.static_children_of(self.cell):
            try:
                await self.start_child(child)
            except StartFailed:
                await self.stop_children(self.children)
                raise

    async def on_stop(self, reason: ExitReason) -> None:
        await self.stop_children(self.children)

    async def start_child(self, child: Cell) -> None:
        """Start one child; an `Ignore` leaves it stopped, with its spec kept (a temporary one's is dropped).

        Raises:
            StartFailed
        """
        asking = self.cell.asking
        if asking is None:
            asking = self.cell.asking = []
        asking.append(child)  # a start that asks its own supervisor would wait for ever: it gets AskCycle
        try:
            await lifecycle.start(child)
        except Ignore as ignored:
            logger.debug("{} doesn't want to run: {}", child.address, ignored)
            if cast(Spec, child.spec).restart == "temporary":
                self.tree.drop(child)
        finally:
            asking.remove(child)

    async def stop_children(self, children: list[Cell]) -> None:
        """In reverse, one by one (OTP); those of a dynamic supervisor all at once, under one timeout."""
        if self.spec.strategy == "dynamic":
            await self.tree.stop_together(children)
            return
        for child in reversed(children):
            await self.stop_child(child)

    async def stop_child(self, child: Cell, *, then: str = PASSIVE) -> None:
        timeout_s = shutdown_seconds(cast(Spec, child.spec).shutdown)
        reason = ExitReason.killed() if timeout_s == 0 else ExitReason.shutdown()
        await lifecycle.stop(child, reason, timeout_s, then=then)

    # -- exits ------------------------------------------------------------------------------------------

    @handler
    async def exited(self, signal: Exited) -> None:
        child = self.tree.child(self.cell, signal.address)
        if child is None or child.status is not DOWN or child.last_exit != signal.incarnation:
            return  # stopped or started again meanwhile; or it retired
        spec = cast(Spec, child.spec)
        reason = signal.reason
        if spec.restart == "permanent" or (spec.restart == "transient" and reason.kind in ("error", "killed")):
            charged = signal.attempt <= 1
            await self.restart(child, reason, charged=charged)
            return
        if spec.restart == "temporary" or child.on_demand:
            self.tree.drop(child)
        else:
            child.fence(STOPPED)
        self.after_end(spec)

    def after_end(self, spec: Spec) -> None:
        """A child has ended and isn't restarted: a significant one may end its supervisor (OTP: auto_shutdown)."""
        if not spec.significant or self.spec.auto_shutdown == "never":
            return
        if self.spec.auto_shutdown == "all_significant":
            running = [
                child
                for child in self.children
                if cast(Spec, child.spec).significant and child.status not in (STOPPED, GONE, PASSIVE)
            ]
            if running:
                return
        self.stop(ExitReason.shutdown("its significant children have ended"))

    async def restart(self, child: Cell, reason: ExitReason, *, charged: bool) -> None:
        """Restart by strategy, unless there were too many restarts."""
        if charged and self.intensity.exceeded(self.tree.system.runtime.monotonic()):
            self.give_up(child, reason)
            return
        group = concerned(self.spec.strategy, self.children, child)
        self.tree.system.events.emit(
            "supervisor.restarting",
            self.address,
            child=child.address,
            strategy=self.spec.strategy,
            children=len(group),
        )
        for other in reversed(group):
            if other is not child:
                await self.stop_child(other)
                if cast(Spec, other.spec).restart == "temporary":  # OTP: killed with its group, not restarted
                    self.tree.drop(other)
                    group.remove(other)
        await self.start_again(child, group)

    async def start_again(self, child: Cell, group: list[Cell]) -> None:
        """Start a restart's children in order. If one fails, the rest of them is retried by a message to self."""
        for place, other in enumerate(group):
            if other.status is UP:
                continue
            try:
                await self.start_child(other)
            except StartFailed as error:
                self.tree.system.events.emit(
                    "actor.start_failed", other.address, error=error.reason.error, text=error.reason.text
                )
                if self.spec.strategy == "one_for_all":  # OTP: everything is stopped again
                    await self.stop_children([started for started in group[:place] if started.status is UP])
                    left = group
                else:
                    left = group[place:]
                retry = RestartRetry(address=other.address, resume=tuple(cell.address for cell in left))
                self.tree.system.delivery.post(self.cell, retry, urgent=False)
                return

    @handler
    async def retry(self, message: RestartRetry) -> None:
        failed = self.tree.child(self.cell, message.address)
        if failed is None or failed.status is not DOWN:
            return  # administration has dealt with it
        reason = ExitReason(kind="error", text=f"{message.address} doesn't start")
        if self.intensity.exceeded(self.tree.system.runtime.monotonic()):
            self.give_up(failed, reason)
            return
        group = [cell for address in message.resume if (cell := self.tree.child(self.cell, address)) is not None]
        await self.start_again(failed, group)

    def give_up(self, child: Cell, reason: ExitReason) -> None:
        """Too many restarts: exit with `shutdown`, and let the supervisor above decide (OTP)."""
        self.given_up = True
        text = (
            f"{child.address} was restarted more than {self.spec.intensity} times in {self.spec.period_s:g} s; "
            f"its last exit: {reason}"
        )
        logger.error("{} gives up: {}", self.address, text)
        self.tree.system.events.emit(
            "supervisor.gave_up",
            self.address,
            child=child.address,
            intensity=self.spec.intensity,
            period_s=self.spec.period_s,
        )
        self.tree.last_words = (child.address, reason)
        self.stop(ExitReason(kind="shutdown", text=text, traceback=reason.traceback, error=reason.error))


def shutdown_seconds(shutdown: Shutdown) -> float | None:
    """Seconds; None waits for ever, 0 doesn't wait."""
    if shutdown == "infinity":
        return None
    if shutdown == "brutal_kill":
        return 0.0
    return float(shutdown)
