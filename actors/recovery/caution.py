"""Caution: the care after a crash, while there are suspects (docs/semantics/recovery.md).

A suspect is a message that was started and not finished when the node died. Suspects run alone, one at a time (a
solo run), because one of them may have taken the process down. While there are any, no told message arrives
before it is on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from loguru import logger

from ...persistence.errors import StoreError
from ...persistence.store.attempts import Started
from ...persistence.store.rows import MessageRow
from ..execution.dispatcher import Dispatcher
from ..execution.executor import GO_ON, LET_GO, SET_ASIDE
from ..execution.exits import Exits
from ..execution.hook_turns import CutOff
from ..execution.paging import page_in, prepare
from ..execution.start import start
from ..kernel.cell import PASSIVE, UP, Cell
from ..kernel.errors import ActorNotFound, Ignore, StartFailed
from ..kernel.failures import charge
from ..kernel.kernel import Kernel
from ..mailbox.envelope import Envelope
from ..mailbox.mailbox import Entry
from ..messages.signals import ExitReason
from .scan import Scan

__all__ = ("Caution",)

SUSPICION_S = 60.0
"""Seconds for which a suspect without a row is waited for, in a node that is never idle, because
caution costs run-ahead."""


class Caution:
    """The care of one node. The boot makes it if the last life left suspects, and it ends with the last of them."""

    def __init__(
        self, kernel: Kernel, dispatcher: Dispatcher, exits: Exits, scan: Scan, started: Iterable[Started]
    ) -> None:
        self._kernel = kernel
        self._dispatcher = dispatcher
        self._exits = exits
        self._scan = scan
        self.solo = True
        self.waiting: tuple[Cell, Envelope] | None = None
        """A suspect that has come back and waits, with everything else, until no handler is in flight."""
        self.suspects: dict[str, Started] = {}
        """The suspects by uid: messages that were started and unfinished when the last life ended."""
        self._arrivals: dict[int, Callable[[], object]] = {}
        """The calls that deliver messages when they are on disk, in the order told."""
        self._count = 0
        found = list(started)
        hung = [item for item in found if item.verdict == "hang"]
        for item in hung or found:
            # A boot that dies in a solo run leaves the last life's slots alone, so one message may stand in two slots.
            if item.verdict != "started" or item.uid not in self.suspects:
                self.suspects[item.uid] = item

    # -- what the kernel asks -------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        return bool(self.suspects)

    def suspect(self, uid: str) -> bool:
        return uid in self.suspects

    def acquit(self, uid: str) -> bool:
        if uid not in self.suspects:
            return False
        self._clear(uid)
        return True

    def after(self, position: int, arrive: Callable[[], object]) -> None:
        if not self.suspects:
            arrive()
            return
        self._count += 1
        number = self._count
        self._arrivals[number] = arrive

        def landed(error: StoreError | None) -> None:
            arrive = self._arrivals.pop(number, None)
            if arrive is not None and error is None:
                arrive()

        self._kernel.commits.when(position, landed)

    def serve(self, cell: Cell) -> None:
        if self.solo:
            self._dispatcher.serve(cell)

    def outside(self) -> None:
        if self.waiting is None:
            return
        if self.waiting[0].status is UP:
            self._dispatcher.serve(self.waiting[0])
        else:
            self.stop_waiting()

    def rested(self) -> None:
        self.forget_suspects()

    # -- the end ----------------------------------------------------------------------------------------------

    def _clear(self, uid: str) -> None:
        self.suspects.pop(uid, None)
        if not self.suspects:
            self._release()
            self._end()

    def _release(self) -> None:
        """Let everything arrive that waits for its commit, because no suspects exist any more. Nothing that is told
        from here on may pass it."""
        waiting, self._arrivals = self._arrivals, {}
        for arrive in waiting.values():
            arrive()

    def _end(self) -> None:
        """End the caution, if there are no suspects and no solo run any more."""
        if not self.suspects and not self.solo and self._kernel.caution is self:
            self._kernel.caution = None

    def end_solo(self) -> None:
        """Let everything else go on after a solo run."""
        self.solo = False
        self._end()
        self._dispatcher.end_solo()

    def stop_waiting(self) -> None:
        """Let everything go on, because the suspect that waits for its solo run can't have it now.
        It stays a suspect."""
        if self.waiting is not None:
            self.waiting = None
            self.end_solo()

    def forget_suspects(self) -> None:
        """Forget suspects that haven't come back, because the node is idle: their senders' turns
        will never run again."""
        self.suspects.clear()
        self._release()
        self.stop_waiting()
        self._end()

    # -- solo runs --------------------------------------------------------------------------------------------

    async def run_waiting(self, cell: Cell) -> str | None:
        waiting = self.waiting
        if waiting is None or waiting[0] is not cell or self._dispatcher.occupied:
            return None
        self.waiting = None
        if cell.mailbox.take(waiting[1].uid, waiting[1].id) is not None:
            return await self.run_suspect(cell, waiting[1])
        self.end_solo()
        return GO_ON if cell.mailbox.count else LET_GO

    async def run_suspect(self, cell: Cell, envelope: Envelope) -> str:
        self.solo = True
        if self._dispatcher.occupied:
            # Handlers in flight may wait for this very actor, so it serves requests until they have ended.
            cell.mailbox.push_front(envelope)
            self.waiting = cell, envelope
            return SET_ASIDE
        try:
            await self.run_alone(cell, envelope)
        finally:
            self.end_solo()
        return GO_ON if cell.mailbox.count and cell.status is UP else LET_GO

    async def run_all(self) -> None:
        """Run the suspects that have a row, one at a time, with nothing else in flight. The tree has started."""
        kernel, found = self._kernel, self._scan.suspects
        try:
            rows = {row.uid: row for row in found}
            told = await kernel.store.with_uids(self.suspects.keys() - rows.keys(), kernel.index.horizon)
            rows.update((row.uid, row) for row in told)  # a tick that comes again
            for started in list(self.suspects.values()):
                if started.uid in rows:
                    await self._run_row(started, rows[started.uid])
        except StoreError as error:
            # The message that was to run alone has left its mailbox: nothing behind it may go on.
            kernel.store_failed(error)
        finally:
            for left in kernel.attempts.left:
                self._dispatcher.clear_if_free(left.slot)
            self.end_solo()
        if self.suspects:
            logger.info("{} messages that were running when the node died are watched", len(self.suspects))
            kernel.runtime.call_later(SUSPICION_S, self.forget_suspects)

    async def _run_row(self, started: Started, row: MessageRow) -> None:
        kernel = self._kernel
        try:
            cell = kernel.router.resolve(row.address)
        except ActorNotFound:
            self._clear(started.uid)
            return
        if started.verdict != "started":
            if cell.mailbox.take(row.uid, row.id) is None:
                return
            envelope = (await page_in(kernel, [row.id])).get(row.id)
            if envelope is not None:
                self._charge_crash(cell, envelope, started)
            if started.verdict == "hang":
                self._clear(started.uid)
            await kernel.commits.flush()
            self._dispatcher.clear_if_free(started.slot)  # a death further on in this boot must not charge it again
            return
        # Messages before it in the mailbox go first, alone as well, because order is promised to its senders.
        while row.id in cell.mailbox.entries() and cell.status in (UP, PASSIVE) and cell.turn is None:
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
                traceback=self._kernel.attempts.hang_report(),
            )
        else:
            reason = ExitReason(kind="killed", error="Crash", text="the process died while this message ran alone")
        charge(cell, envelope, reason, cause="hang" if started.verdict == "hang" else "crash")

    async def run_alone(self, cell: Cell, entry: Entry) -> None:
        """Run a message alone. If the node survives that, the message is no suspect any more."""
        if not isinstance(entry, int | Envelope):
            return
        kernel, dispatcher = self._kernel, self._dispatcher
        self.solo = True
        if isinstance(entry, int):
            envelope = (await page_in(kernel, [entry])).get(entry)
            if envelope is None:
                return
        else:
            envelope = entry
        starts = cell.status is PASSIVE and cell.may_start()
        slot = dispatcher.take_slot()
        # A runner may have it in hand, and may be done with it before this run is.
        before = dispatcher.lend(cell, slot)
        try:
            kernel.attempts.note(slot, envelope.uid, cell.address, True)
            if starts:
                try:
                    await start(cell)
                except (StartFailed, Ignore) as error:
                    if isinstance(error.__cause__, CutOff):  # stopped, or reset: no fault of the message
                        if cell.runner == slot:
                            cell.give_back((envelope,))
                        return
                    cell.to(PASSIVE)
                    self._clear(envelope.uid)
                    charge(cell, envelope, ExitReason.from_exception(error), cause="start_failed")
                    return
            if cell.status is not UP:
                cell.give_back((envelope,))
                return
            message = envelope.message or prepare(cell, envelope)
            if message is not None:
                waiting = dispatcher.executor.begin(cell, envelope, message, slot, solo=True)
                if waiting is not None:
                    await waiting
                if cell.leaving is not None and cell.status is UP:
                    await self._exits.leave(cell)
        finally:
            if cell.runner == slot:
                dispatcher.hand_back(cell, before)
            dispatcher.give_slot(slot)
        self._clear(envelope.uid)
        try:
            await kernel.commits.flush()
        except StoreError:
            return
