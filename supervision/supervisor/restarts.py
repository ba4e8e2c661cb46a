"""Restarts: how one supervisor restarts its children, by its strategy, within its intensity, after a backoff.

| strategy | a restart concerns |
| --- | --- |
| one_for_one, dynamic, partition | the child that exited |
| rest_for_one | the child that exited, and those started after it |
| one_for_all | all children |

They are stopped in reverse and started in order (OTP: supervisor(3), "Supervision Principles").
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar, cast
from weakref import WeakKeyDictionary

from loguru import logger

from ...actors.kernel.cell import DOWN, PASSIVE, STOPPED, UP, Cell
from ...actors.kernel.errors import StartFailed
from ...actors.messages.signals import ExitReason
from ..spec.spec import Spec, Strategy
from .child_rows import PLANNED, STARTED
from .children import Children
from .intensity import Intensity
from .requests import RestartRetry

__all__ = ("Restarts", "concerned")

C = TypeVar("C")


def concerned(strategy: Strategy, children: Sequence[C], exited: C) -> list[C]:
    """The children to restart after `exited` did, in start order."""
    if strategy == "one_for_all":
        return list(children)
    if strategy == "rest_for_one":
        return list(children[children.index(exited) :])
    return [exited]


class Restarts:
    """The restarts of one supervisor's children, and the end of a supervisor that has seen too many of them."""

    def __init__(self, children: Children, stop: Callable[[ExitReason], None]) -> None:
        """
        Args:
            stop: ends the supervisor once the running turn is over.
        """
        self._children = children
        self._tree = children.tree
        self._stop = stop
        self.intensity = Intensity(children.spec.intensity, children.spec.period_s)
        self._in_a_row: WeakKeyDictionary[Cell, tuple[int, float]] = WeakKeyDictionary()
        """Under a backoff: how many restarts in a row a child had, and when the last one was due."""
        self._waits: dict[str, tuple[asyncio.Task[None], RestartRetry]] = {}
        """The restarts whose moment hasn't come, by child."""

    @property
    def _address(self) -> str:
        return self._children.cell.address

    def recall(self) -> None:
        """Go on from the restarts that the last life of the node has on record, if it ended in a crash."""
        self.intensity.recall(self._tree.restarts_on_record(self._address))

    async def restart(self, child: Cell, reason: ExitReason, *, charged: bool) -> None:
        """Restart by strategy, unless there were too many restarts."""
        children, tree = self._children, self._tree
        strategy = children.spec.strategy
        if charged and self.intensity.exceeded(tree.kernel.runtime.monotonic()):
            self._give_up(child, reason)
            return
        exited = child.last_exit
        siblings = 0
        if strategy == "one_for_all" or strategy == "rest_for_one":
            group = concerned(strategy, children.all(), child)
            siblings = len(group) - 1
        else:
            group = [child]
        tree.kernel.events.emit(
            "supervisor.restarting", self._address, child=child.address, strategy=strategy, children=len(group)
        )
        if siblings:
            await self._stop_siblings(child, group)
        delay_s = self._backoff_s(child)
        if delay_s:
            self._retry(child, charged=False, delay_s=delay_s)
            action = f"restarts in {round(delay_s, 3):g} s"
        else:
            await self._start_again(group)
            failed = child.status is DOWN or child.status is PASSIVE
            action = "restarted" if child.status is UP else "the restart failed" if failed else "ended"
        if siblings:
            action += f", with {siblings} of its siblings ({strategy})"
        self.record(child, reason, action, charged=charged, incarnation=exited)

    async def _stop_siblings(self, child: Cell, group: list[Cell]) -> None:
        """Stop the others in reverse (OTP). Those that had been stopped before keep the status that says so."""
        for other in reversed(group):
            if other is not child and other.status is not STOPPED:
                await self._children.stop(other)
            if cast(Spec, other.spec).restart == "temporary":  # OTP: killed with its group, not restarted
                self._children.forget(other)
                group.remove(other)

    async def _start_again(self, group: list[Cell]) -> None:
        """Start a restart's children in order. If one fails, a message to self retries it and the rest."""
        for other in group:
            if other.status is DOWN:
                other.to(PASSIVE)  # OTP: if one before it fails, that one is restarting, and this one waits with it
        for other in group:
            if other.status is UP or (other.address in self._tree.children.halted and not self._recalled(other)):
                continue
            try:
                await self._children.start(other)
            except StartFailed as error:
                await self._start_failed(other, error, group)
                return

    async def _start_failed(self, child: Cell, error: StartFailed, group: list[Cell]) -> None:
        """A restart failed because a start did. `one_for_all` stops again what has started: at the next try (OTP), or
        at once if that waits for a backoff."""
        delay_s = self.start_failed(child, error)
        if delay_s and self._children.spec.strategy == "one_for_all":
            await self._children.stop_in_reverse([sibling for sibling in group if sibling.status is UP])

    def _recalled(self, child: Cell) -> bool:
        """Whether a terminated child comes back with its group. In OTP it does; here only if `strict` is set."""
        if not self._children.spec.strict:
            return False
        table, rows = self._tree.children, self._tree.rows
        table.halted.discard(child.address)
        planned = child.address in table.planned
        rows.mark(self._address, cast(Spec, child.spec).id, PLANNED if planned else STARTED)
        rows.submit()
        return True

    def start_failed(self, child: Cell, error: StartFailed) -> float:
        """A restart failed because a start did: the child is down, and is tried again after these seconds."""
        reason = error.reason
        self._tree.kernel.events.emit("actor.start_failed", child.address, error=reason.error, text=reason.text)
        if child.status is not DOWN:
            child.fence(DOWN)  # whatever stopped it while it started
        delay_s = self._backoff_s(child)
        self._retry(child, charged=True, delay_s=delay_s, reason=reason)
        return delay_s

    # -- retries -----------------------------------------------------------------------------------------

    def _retry(self, child: Cell, *, charged: bool, delay_s: float, reason: ExitReason | None = None) -> None:
        kernel, cell = self._tree.kernel, self._children.cell
        message = RestartRetry(address=child.address, charged=charged, reason=reason)
        earlier, _ = self._waits.pop(child.address, (None, None))
        if earlier is not None:
            earlier.cancel()  # a sibling's exit has restarted the child meanwhile
        if not delay_s:
            kernel.router.post(cell, message, urgent=False)
            return

        async def later() -> None:
            await kernel.runtime.sleep(delay_s)
            self._waits.pop(child.address, None)
            kernel.router.post(cell, message, urgent=False)

        task = kernel.background(later(), f"greenroom restart of {child.address}")
        self._waits[child.address] = task, message

    async def retry(self, message: RestartRetry) -> None:
        """Go on with a restart that had to wait."""
        children = self._children
        child = children.find(message.address)
        if child is None or child.status is not DOWN or message.address in self._waits:
            self._leave_stopped()  # administration has dealt with it; the rest of its group isn't started (OTP)
            return
        if message.charged:
            reason = message.reason or ExitReason(kind="error", text=f"{message.address} doesn't start")
            if self.intensity.exceeded(self._tree.kernel.runtime.monotonic()):
                self._give_up(child, reason)
                return
            self.record(child, reason, "its restart failed, and was tried again", charged=True)
        strategy = children.spec.strategy
        group = [child]
        if strategy == "one_for_all" or strategy == "rest_for_one":
            group = concerned(strategy, children.all(), child)  # with those that have come, or started, meanwhile
            await self._stop_siblings(child, group)
        await self._start_again(group)

    def _leave_stopped(self) -> None:
        """Children that wait to be started with their group stay stopped, unless another restart will start them."""
        waiting = [child for child in self._children.all() if child.status is PASSIVE and not child.on_demand]
        if waiting and not any(child.status is DOWN for child in self._children.all()):
            for child in waiting:
                self._tree.children.rest(child)

    def end_wait(self, child: Cell) -> None:
        """Its restart is called off: don't keep the system from being idle for the rest of its backoff."""
        task, message = self._waits.pop(child.address, (None, None))
        if task is not None and message is not None:
            task.cancel()
            self._tree.kernel.router.post(self._children.cell, message, urgent=False)

    def cancel(self) -> None:
        """The supervisor stops: no restart that waits will happen."""
        for task, _ in self._waits.values():
            task.cancel()

    def _backoff_s(self, child: Cell) -> float:
        """How many seconds this restart waits: none for the first one in a row, none without a backoff."""
        backoff = self._children.spec.backoff
        if backoff is None:
            return 0.0
        kernel = self._tree.kernel
        now = kernel.runtime.monotonic()
        count, due = self._in_a_row.get(child, (0, now))
        if now - due >= backoff.reset_s:
            count = 0
        delay_s = backoff.delay_s(count, kernel.jitter) if count else 0.0
        self._in_a_row[child] = count + 1, now + delay_s
        return delay_s

    # -- too many, and the record -----------------------------------------------------------------------

    def _give_up(self, child: Cell, reason: ExitReason) -> None:
        """Too many restarts: exit with `shutdown`, and let the supervisor above decide (OTP)."""
        spec, address = self._children.spec, self._address
        text = (
            f"{child.address} was restarted more than {spec.intensity} times in {spec.period_s:g} s; "
            f"its last exit: {reason}"
        )
        logger.error("{} gives up: {}", address, text)
        self._tree.kernel.events.emit(
            "supervisor.gave_up", address, child=child.address, intensity=spec.intensity, period_s=spec.period_s
        )
        self._tree.last_words = (child.address, reason)
        self.record(child, reason, f"{address} gave up: too many restarts", charged=False)
        self._stop(ExitReason(kind="shutdown", text=text, traceback=reason.traceback, error=reason.error))

    def record(
        self, child: Cell, reason: ExitReason, action: str, *, charged: bool, incarnation: int | None = None
    ) -> None:
        """Put an exit on record, with what the supervisor did about it."""
        number = child.last_exit if incarnation is None else incarnation
        self._tree.incidents.record(self._address, child.address, number, reason, action, charged=charged)
