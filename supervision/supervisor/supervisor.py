"""Supervisor: an actor whose children are actors.

It reacts to `Exited` by its strategy (docs/semantics/supervision.md), and answers to its administration
(requests.py). Its mailbox is in memory, since what it reacts to is too; what must outlive the node is in rows.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast
from weakref import WeakKeyDictionary

from loguru import logger

from ...actors.actor import handler
from ...actors.execution import lifecycle
from ...actors.kernel.cell import Cell
from ...actors.kernel.status import DOWN, GONE, PASSIVE, STOPPED, UP
from ...actors.messages.errors import Ignore, StartFailed
from ...actors.messages.signals import Exited, ExitReason
from ..spec.spec import Shutdown, Spec, SupervisorSpec
from .child_rows import PLANNED, STARTED
from .intensity import Intensity
from .protocol import RestartRetry
from .requests import Administered
from .strategies import concerned

if TYPE_CHECKING:
    from ...actors.kernel.incarnation import Incarnation
    from .tree import Tree

__all__ = ("Supervisor", "shutdown_seconds")


class Supervisor(Administered):
    """One supervisor of the tree. `tree` makes and knows the cells of its children."""

    durable = False
    trap_exits = True  # a stranger's link must not take a tree down
    handler_timeout_s = None
    capacity = 1_000_000

    def __init__(self, *, spec: SupervisorSpec, tree: Tree) -> None:
        self.spec = spec
        self.tree = tree
        self.intensity = Intensity(spec.intensity, spec.period_s)
        self._restarts: WeakKeyDictionary[Cell, tuple[int, float]] = WeakKeyDictionary()
        """Under a backoff: how many restarts in a row a child had, and when the last one was due."""
        self._waits: dict[str, tuple[asyncio.Task[None], RestartRetry]] = {}
        """The restarts whose moment hasn't come, by child."""

    @property
    def cell(self) -> Cell:
        return cast("Incarnation", self._context).cell

    @property
    def children(self) -> list[Cell]:
        """In start order."""
        return self.tree.children_of(self.cell)

    # -- start and stop ------------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Start the children in order; if one fails, stop the started ones in reverse and fail (OTP).

        One that came by `StartChild` has started before: if it fails now, that is a restart that fails.
        """
        tree = self.tree
        self.intensity.recall(tree.restarts_on_record(self.address))
        for child in tree.static_children_of(self.cell):
            if child.address in tree.halted:
                child.fence(STOPPED)
                continue
            if child.address in tree.passing:  # OTP: a temporary child is never restarted
                tree.drop(child)
                continue
            try:
                await self.start_child(child)
            except StartFailed as error:
                if tree.rows.status(self.address, cast(Spec, child.spec).id) != STARTED:
                    await self.stop_children(self.children)
                    raise
                self._start_failed(child, error, [child])

    async def on_stop(self, reason: ExitReason) -> None:
        for task, _ in self._waits.values():
            task.cancel()
        await self.stop_children(self.children)

    async def start_child(self, child: Cell) -> bool:
        """Start one child; whether it runs. An `Ignore` leaves it stopped, with its spec kept.

        A temporary child's spec, and that of a dynamic supervisor's child, are dropped then.

        Raises:
            StartFailed
        """
        self.tree.renew(child)
        asking = self.cell.asking
        if asking is None:
            asking = self.cell.asking = []
        asking.append(child)  # a start that asks its own supervisor would wait for ever: it gets AskCycle
        try:
            await lifecycle.start(child)
        except Ignore as ignored:
            logger.debug("{} doesn't want to run: {}", child.address, ignored)
            if cast(Spec, child.spec).restart == "temporary" or self.spec.strategy == "dynamic":
                self.forget(child)
            return False
        finally:
            asking.remove(child)
        return True

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
            await self.restart(child, reason, charged=signal.attempt <= 1 or self.spec.strict)
            return
        if reason.kind in ("error", "killed"):
            self._record(child, reason, f"not restarted: it is {spec.restart}", charged=False)
        if spec.restart == "temporary" or self.spec.strategy == "dynamic":
            self.forget(child)
        else:
            child.fence(STOPPED)
        self.after_end(spec)

    def forget(self, child: Cell) -> None:
        """Its spec goes; what it has in the store stays. A child that the tree names is back at the next boot."""
        self.tree.drop(child)
        if not child.on_demand and child.address not in self.tree.planned:
            self.tree.rows.delete(self.address, cast(Spec, child.spec).id)
            self.tree.rows.submit()

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
        tree, strategy = self.tree, self.spec.strategy
        if charged and self.intensity.exceeded(tree.system.runtime.monotonic()):
            self.give_up(child, reason)
            return
        exited = child.last_exit
        siblings = 0
        if strategy == "one_for_all" or strategy == "rest_for_one":
            group = concerned(strategy, self.children, child)
            siblings = len(group) - 1
        else:
            group = [child]
        tree.system.events.emit(
            "supervisor.restarting", self.address, child=child.address, strategy=strategy, children=len(group)
        )
        if siblings:
            await self._stop_siblings(child, group)
        delay_s = 0.0 if self.spec.restart_backoff is None else self._backoff_s(child)
        if delay_s:
            self._retry(child, group, charged=False, delay_s=delay_s)
            action = f"restarts in {round(delay_s, 3):g} s"
        else:
            await self.start_again(group)
            action = "restarted" if child.status is UP else "the restart failed" if child.status is DOWN else "ended"
        if siblings:
            action += f", with {siblings} of its siblings ({strategy})"
        self._record(child, reason, action, charged=charged, incarnation=exited)

    async def _stop_siblings(self, child: Cell, group: list[Cell]) -> None:
        """In reverse (OTP). Those that had been stopped before stay so, as far as anybody who asks them can tell."""
        for other in reversed(group):
            if other is child or other.status is STOPPED:
                continue
            await self.stop_child(other)
            if cast(Spec, other.spec).restart == "temporary":  # OTP: killed with its group, not restarted
                self.forget(other)
                group.remove(other)

    async def start_again(self, group: list[Cell]) -> None:
        """Start a restart's children in order. If one fails, the rest of them is retried by a message to self."""
        for place, other in enumerate(group):
            if other.status is UP or (other.address in self.tree.halted and not self._recalled(other)):
                continue
            try:
                await self.start_child(other)
            except StartFailed as error:
                if self.spec.strategy == "one_for_all":  # OTP: everything is stopped again
                    await self.stop_children([started for started in group[:place] if started.status is UP])
                    left = group
                else:
                    left = group[place:]
                self._start_failed(other, error, left)
                return

    def _recalled(self, child: Cell) -> bool:
        """Whether a terminated child comes back with its group: in OTP it does; here the operator's word holds."""
        if not self.spec.strict:
            return False
        self.tree.halted.discard(child.address)
        planned = child.address in self.tree.planned
        self.tree.rows.mark(self.address, cast(Spec, child.spec).id, PLANNED if planned else STARTED)
        self.tree.rows.submit()
        return True

    def _start_failed(self, child: Cell, error: StartFailed, left: list[Cell]) -> None:
        """A restart whose start failed: the child is down, and it is tried again."""
        reason = error.reason
        self.tree.system.events.emit("actor.start_failed", child.address, error=reason.error, text=reason.text)
        if child.status is not DOWN:
            child.fence(DOWN)  # whoever stopped it while it started
        delay_s = 0.0 if self.spec.restart_backoff is None else self._backoff_s(child)
        self._retry(child, left, charged=True, delay_s=delay_s, reason=reason)

    def _retry(
        self, child: Cell, left: list[Cell], *, charged: bool, delay_s: float, reason: ExitReason | None = None
    ) -> None:
        system = self.tree.system
        message = RestartRetry(
            address=child.address,
            incarnation=child.last_exit,
            resume=tuple(cell.address for cell in left),
            charged=charged,
            reason=reason,
        )
        if not delay_s:
            system.delivery.post(self.cell, message, urgent=False)
            return
        cell = self.cell

        async def later() -> None:
            await system.runtime.sleep(delay_s)
            self._waits.pop(child.address, None)
            system.delivery.post(cell, message, urgent=False)

        earlier, _ = self._waits.pop(child.address, (None, None))
        if earlier is not None:
            earlier.cancel()  # a sibling's exit has restarted the child meanwhile
        task = system.background(later(), f"greenroom restart of {child.address}")
        self._waits[child.address] = task, message

    def end_wait(self, child: Cell) -> None:
        """Its restart is called off: don't keep the system from being idle for the rest of its backoff."""
        task, message = self._waits.pop(child.address, (None, None))
        if task is not None and message is not None:
            task.cancel()
            self.tree.system.delivery.post(self.cell, message, urgent=False)

    def _backoff_s(self, child: Cell) -> float:
        """How long this restart waits: the first one in a row not at all."""
        backoff = self.spec.backoff
        assert backoff is not None
        now = self.tree.system.runtime.monotonic()
        count, due = self._restarts.get(child, (0, now))
        if now - due >= backoff.reset_s:
            count = 0
        delay_s = backoff.delay_s(count, self.tree.system.jitter) if count else 0.0
        self._restarts[child] = count + 1, now + delay_s
        return delay_s

    @handler
    async def retry(self, message: RestartRetry) -> None:
        child = self.tree.child(self.cell, message.address)
        group = [cell for address in message.resume if (cell := self.tree.child(self.cell, address)) is not None]
        if child is None or child.status is not DOWN or child.last_exit != message.incarnation:
            self._leave_stopped(group)  # administration has dealt with it; the rest of its group isn't started (OTP)
            return
        if message.charged:
            reason = message.reason or ExitReason(kind="error", text=f"{message.address} doesn't start")
            if self.intensity.exceeded(self.tree.system.runtime.monotonic()):
                self.give_up(child, reason)
                return
            self._record(child, reason, "its restart failed, and was tried again", charged=True)
        if len(group) > 1:
            await self._stop_siblings(child, group)  # whom administration has started meanwhile
        await self.start_again(group)

    def _leave_stopped(self, group: list[Cell]) -> None:
        """Those of a group that wait to be started, unless another restart is going to do so."""
        if any(child.status is DOWN for child in self.children):
            return
        for child in group:
            if child.status is PASSIVE and not child.on_demand:
                child.fence(STOPPED)

    def give_up(self, child: Cell, reason: ExitReason) -> None:
        """Too many restarts: exit with `shutdown`, and let the supervisor above decide (OTP)."""
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
        self._record(child, reason, f"{self.address} gave up: too many restarts", charged=False)
        self.stop(ExitReason(kind="shutdown", text=text, traceback=reason.traceback, error=reason.error))

    def _record(
        self, child: Cell, reason: ExitReason, action: str, *, charged: bool, incarnation: int | None = None
    ) -> None:
        number = child.last_exit if incarnation is None else incarnation
        self.tree.incidents.record(self.address, child.address, number, reason, action, charged=charged)


def shutdown_seconds(shutdown: Shutdown) -> float | None:
    """Seconds; None waits for ever, 0 doesn't wait."""
    if shutdown == "infinity":
        return None
    if shutdown == "brutal_kill":
        return 0.0
    return float(shutdown)
