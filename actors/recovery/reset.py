"""Recovery: what a node does after a crash (docs/semantics/recovery.md), and after its store has failed (commit.md)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from loguru import logger

from ...persistence.errors import (
    Fenced,
    GreenroomError,
    StoreCorrupt,
    StoreDataError,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from ...persistence.store.attempts import Started
from ...persistence.store.rows import MessageRow
from ..execution import lifecycle
from ..execution.paging import page_in, prepare
from ..kernel.cell import Cell
from ..kernel.errors import ActorNotFound, Ignore, StartFailed
from ..kernel.failures import charge
from ..kernel.refusals import Refusals
from ..kernel.status import PASSIVE, UP
from ..mailbox.envelope import Envelope
from ..mailbox.mailbox import Entry, Mailbox
from ..messages.signals import ExitReason
from .damage import report_loss

if TYPE_CHECKING:
    import asyncio

    from ..system import ActorSystem

__all__ = ("Recovery",)

SUSPICION_S = 60.0
"""How long a suspect without a row is waited for, in a node that is never idle: caution costs run-ahead."""
RETRY_S_MIN, RETRY_S_MAX = 0.1, 5.0
"""Backoff between attempts to reopen a broken store."""


class Recovery:
    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self.suspects: dict[str, Started] = {}
        """By uid: started and unfinished when the last life ended."""
        self.refusals = Refusals(system)
        self.resetting = False
        self.reset_by: StoreError | None = None
        """Why the tree was reset the last time."""
        self.task: asyncio.Task[None] | None = None
        """What brings it back."""

    # -- boot ------------------------------------------------------------------------------------------

    async def load(self) -> int:
        """Read what waits on disk, or the first of it (`Pending.load`); returns how many messages that are.

        Nothing may be told meanwhile.
        """
        system = self._system
        system.delays.clear()
        for cell in system.cells.values():  # an attempt that broke off may have filled them
            cell.mailbox = Mailbox()
        await system.monitors.load()
        await system.timers.load()
        system.seen_id(await system.store.last_id())
        owner = await system.store.owner()
        system.seen_id(0 if owner is None else owner.last_id)
        return await system.pending.load(self.suspects)

    def activate_homeless(self) -> None:
        """After the tree has started: bring actors back for whom mail waits."""
        self._system.pending.go_on()
        self._system.monitors.look_round()

    # -- suspects ----------------------------------------------------------------------------------------

    def note_suspects(self, started: Iterable[Started]) -> None:
        """Before the tree starts: the verdicts of the slot file."""
        found = list(started)
        hung = [item for item in found if item.verdict == "hang"]
        for item in hung or found:
            # One message may stand in two slots: a boot that dies in a solo run leaves the last life's slots alone.
            if item.verdict != "started" or item.uid not in self.suspects:
                self.suspects[item.uid] = item
        if found:
            self._system.runners.solo = self._system.cautious = True

    def _clear(self, uid: str) -> None:
        self.suspects.pop(uid, None)
        if not self.suspects and self._system.cautious:
            self._end_caution()

    def _end_caution(self) -> None:
        self._system.cautious = False
        self._system.delivery.hurry()

    def acquit(self, uid: str) -> bool:
        """Whether this was a suspect; it is none any more."""
        if uid not in self.suspects:
            return False
        self._clear(uid)
        return True

    async def run_suspects(self) -> None:
        """After the tree has started: the suspects that have a row, one at a time, nothing else in flight."""
        system, pending = self._system, self._system.pending
        try:
            rows = {row.uid: row for row in pending.suspects}
            told = await system.store.with_uids(self.suspects.keys() - rows.keys(), pending.horizon)  # a tick, again
            rows.update((row.uid, row) for row in told)
            for started in list(self.suspects.values()):
                if started.uid in rows:
                    await self._suspect_row(started, rows[started.uid])
        except StoreError as error:  # what was to run alone has left its mailbox: nobody behind it may go on
            self.store_failed(error)
        finally:
            for left in system.attempts.left:
                system.runners.clear_if_free(left.slot)
            system.runners.end_solo()
        if self.suspects:
            logger.info("{} messages that were running when the node died are watched", len(self.suspects))
            system.runtime.call_later(SUSPICION_S, self.forget_suspects)

    async def _suspect_row(self, started: Started, row: MessageRow) -> None:
        system = self._system
        try:
            cell = system.resolve(row.address)
        except ActorNotFound:
            self._clear(started.uid)
            return
        if started.verdict != "started":
            if cell.mailbox.take(row.uid, row.id) is None:
                return
            envelope = (await page_in(system, [row.id])).get(row.id)
            if envelope is not None:
                self._charge_crash(cell, envelope, started)
            if started.verdict == "hang":
                self._clear(started.uid)
            await system.committer.flush()
            system.runners.clear_if_free(started.slot)  # a death further on in this boot must not charge it again
            return
        # What stands before it in the mailbox goes first, alone as well: order is promised to its senders.
        while row.id in cell.mailbox.entries() and cell.status in (UP, PASSIVE):
            entry = cell.mailbox.pop()
            await self.run_alone(cell, entry)
            if entry == row.id:
                return

    def _charge_crash(self, cell: Cell, envelope: Envelope, started: Started) -> None:
        if started.verdict == "hang":
            reason = ExitReason(
                kind="killed",
                error="Hang",
                text="its handler blocked the event loop, and the watchdog ended the node",
                traceback=self._system.attempts.hang_report(),
            )
        else:
            reason = ExitReason(kind="killed", error="Crash", text="the process died while this message ran alone")
        charge(cell, envelope, reason, cause="hang" if started.verdict == "hang" else "crash")

    async def run_alone(self, cell: Cell, entry: Entry) -> None:
        """A solo run. Survived, it clears the suspicion."""
        if not isinstance(entry, int | Envelope):
            return
        system = self._system
        runners = system.runners
        runners.solo = True
        if isinstance(entry, int):
            envelope = (await page_in(system, [entry])).get(entry)
            if envelope is None:
                return
        else:
            envelope = entry
        if cell.status is PASSIVE and cell.may_start():
            start = True
        else:
            start = False
        slot = runners.take_slot()
        before, cell.runner = cell.runner, slot  # it may be in a runner's hands, which lets go of it later
        try:
            system.attempts.note(slot, envelope.uid, cell.address, True)
            if start:
                try:
                    await lifecycle.start(cell)
                except (StartFailed, Ignore) as error:
                    cell.status = PASSIVE
                    self._clear(envelope.uid)
                    charge(cell, envelope, ExitReason.from_exception(error), cause="start_failed")
                    return
            if cell.status is not UP:
                cell.give_back((envelope,))
                return
            message = envelope.message or prepare(cell, envelope)
            if message is not None:
                waiting = runners.handling.begin(cell, envelope, message, slot, solo=True)
                if waiting is not None:
                    await waiting
                if cell.leaving is not None and cell.status is UP:
                    await system.exits.leave(cell)
        finally:
            if cell.runner == slot:
                cell.runner = before
            runners.give_slot(slot)
        self._clear(envelope.uid)
        try:
            await system.committer.flush()
        except StoreError:
            return

    def forget_suspects(self) -> None:
        """The node is idle, and they haven't come back: their senders' turns will never run again."""
        self.suspects.clear()
        self._end_caution()
        self._system.runners.stop_waiting()

    # -- a broken store --------------------------------------------------------------------------------------

    def broken(self, error: StoreError, charged: bool = True) -> None:
        """Everything uncommitted is gone: reset the tree from the database.

        Args:
            charged: whether somebody answers for it (kernel/refusals.py), if data were refused.
        """
        system = self._system
        if self.resetting or system.closing or system.gave_up is not None:
            return
        self.resetting = True
        self.reset_by = error
        system.events.emit(
            "node.broken",
            "/" if system.root is None else system.root.address,
            error=type(error).__name__,
            text=str(error),
        )
        logger.error("the store failed, the tree will be reset from it: {}", error)
        system.timers.reset()
        for cell in list(system.cells.values()):
            cell.reset(system.committer.failure or error)
        system.runners.reset()
        system.delays.clear()
        system.monitors.reset()
        system.groups.reset()
        system.pending.reset()
        system.keys.forget()
        if system.inbox is not None:
            system.inbox.reset()
        if not charged and not self.refusals.bears(error):
            return
        self.task = system.background(self._recover(isinstance(error, StoreDataError)), "greenroom recovery")

    async def _recover(self, at_once: bool) -> None:
        system, runtime = self._system, self._system.runtime
        began = runtime.monotonic()
        delay_s = RETRY_S_MIN
        while True:
            if not at_once:
                await runtime.sleep(delay_s)
            at_once = False
            delay_s = min(delay_s * 2, RETRY_S_MAX)
            try:
                await system.writer.recover()
                report_loss(self._system)
                await system.activator.reload()
                await self.load()
                system.writer.resume()
                await system.pending.park_damaged()
                break
            except (StoreFull, StoreUnavailable, StoreDataError) as error:
                if not self.refusals.bears(error):
                    return
            except (Fenced, StoreCorrupt) as error:
                self.give_up(error)
                return
        root = system.root
        assert root is not None
        self.resetting = False
        await system.timers.catch_up()
        if self.resetting:
            return
        try:
            await lifecycle.start(root)
        except StartFailed as error:
            if not self.resetting:
                self.give_up(error)
            return
        self.activate_homeless()
        system.events.emit("node.recovered", root.address, down_s=runtime.monotonic() - began)
        logger.info("the store is back after {:.1f} s", runtime.monotonic() - began)

    def store_failed(self, error: StoreError) -> None:
        """A read, or a held transaction, failed as the committer does."""
        self._system.writer.fail(error)

    def refusal(self, failure: StoreError, undelivered: object) -> StoreError:
        if isinstance(failure, StoreFull | StoreUnavailable):
            return failure.handing_back(undelivered)
        if isinstance(failure, StoreDataError):
            return StoreUnavailable("the tree is being reset from the database", undelivered=undelivered)
        return failure

    # -- the end -----------------------------------------------------------------------------------------------

    def root_exited(self, reason: ExitReason) -> None:
        system = self._system
        if system.closing:
            return
        self.give_up(system.gave_up_error(reason))

    def bug(self, error: BaseException) -> None:
        """An exception in a task of the system's own: end the node rather than run on half dead."""
        if isinstance(error, Exception):
            logger.opt(exception=error).error("greenroom itself failed")
        else:  # a Ctrl-C has hit this task; it goes through to whoever runs the loop
            self._system.struck = True
        if not isinstance(error, GreenroomError):
            bug = GreenroomError(repr(error))
            bug.__cause__ = error
            error = bug
        self.give_up(error)

    def give_up(self, error: GreenroomError) -> None:
        system = self._system
        if system.gave_up is None:
            system.gave_up = error
            system.close_doors()
            system.events.emit(
                "node.gave_up",
                "/" if system.root is None else system.root.address,
                reason=type(error).__name__,
                text=str(error),
            )
            for cell in system.cells.values():
                cell.refuse_asks()
            system.ended.set()
            system.maybe_idle()
