"""Caution: the care after a crash, while there are suspects (docs/semantics/recovery.md).

A suspect is a message that was started and not finished when the node died. Suspects run again as their mailboxes come
to them, beside one another as far as the trial lets them, because one of them may have taken the process down. While
there are any, no told message arrives before it is on disk, and the slot file says of each handler whether its code is
on the event loop or waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ...persistence.errors import StoreError
from ...persistence.store.attempts import NOBODY, Started
from ...persistence.store.rows import MessageRow
from ..execution.dispatcher import Dispatcher
from ..execution.executor import GO_ON, SET_ASIDE
from ..execution.paging import page_in
from ..kernel.cell import PASSIVE, UP, Cell
from ..kernel.errors import ActorNotFound
from ..kernel.failures import charge
from ..kernel.kernel import Kernel
from ..kernel.turn import DISCARDED, Turn
from ..mailbox.envelope import Ask, Envelope
from ..messages.message import Message, SystemRequest
from ..messages.signals import ExitReason
from .scan import Scan
from .suspects import judge
from .trial import Trial

__all__ = ("Caution",)

SUSPICION_S = 60.0
"""Seconds after which suspects that haven't come back are forgotten in a node that is never idle, because caution costs
run-ahead."""


class Caution:
    """The care of one node. The boot makes it if the last life left suspects, and it ends with the last of them."""

    def __init__(self, kernel: Kernel, dispatcher: Dispatcher, scan: Scan, left: Iterable[Started]) -> None:
        self._kernel = kernel
        self._dispatcher = dispatcher
        self._scan = scan
        self.suspects: dict[str, Started] = {}
        """The suspects by uid: messages that were started and unfinished when the last life ended."""
        self._arrivals: dict[int, Callable[[], object]] = {}
        """The calls that deliver messages when they are on disk, in the order told."""
        self._count = 0
        judged = judge(left)[-kernel.attempts.slots :]  # the least suspicious may have no place
        # The watchdog's notes say no death. So what it said of this one is told from what it says of the next.
        listed = [one._replace(deaths=max(1, one.deaths)) for one in judged]
        for place, suspect in enumerate(listed):
            self.suspects[suspect.uid] = suspect._replace(slot=place)
        kernel.attempts.write_suspects(listed)
        self.total = len(listed)
        """The number of suspects at the boot."""
        self._charged = 0
        self._forgotten = 0
        self._began = kernel.runtime.monotonic()
        self.trial = Trial(kernel, dispatcher, self.suspects)

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
        self.trial.serve(cell)

    def rested(self) -> None:
        self.forget_suspects()

    def progress(self) -> dict[str, int]:
        return {
            "left": len(self.suspects),
            "of": self.total,
            "running": len(self.trial.running),
            "alone": self.trial.alone,
        }

    def may_run(self, cell: Cell, envelope: Envelope) -> bool:
        suspect = self.suspects.get(envelope.uid)
        if suspect is None or type(envelope) is Ask:
            return True
        if cell.definition.cls._supervises:  # its children may have to be restarted meanwhile
            self.trial.running[suspect.uid] = suspect
            return True
        return self.trial.admit(suspect)

    def ran(self, uid: str) -> None:
        self.trial.over(uid)

    def instead(self, cell: Cell, envelope: Envelope) -> Ask | None:
        """The request that a cell serves while its suspect waits. Handlers in flight may wait for this very actor, so
        the requests of actors pass the suspect. None: the cell is set aside."""
        ask = cell.mailbox.pop_ask()
        if ask is None:
            self.trial.hold(cell, self.suspects[envelope.uid])
        return ask

    async def handle(self, cell: Cell, envelope: Envelope | None, message: Message, slot: int) -> str:
        uid = "" if envelope is None else envelope.uid
        if envelope is not None and uid in self.suspects:
            if type(envelope) is Ask or isinstance(message, SystemRequest):
                # The asker waits for it, and is on record. A suspended actor keeps its runner, which is no work.
                self._clear(uid)
            elif not self.may_run(cell, envelope):
                cell.mailbox.push_front(envelope)
                ask = self.instead(cell, envelope)
                if ask is None:
                    return SET_ASIDE
                if ask.message is None or ask.future.done():
                    return GO_ON
                self.acquit(ask.uid)
                envelope, message, uid = ask, ask.message, ask.uid
        return await self._watched(cell, envelope, message, slot, uid)

    async def _watched(self, cell: Cell, envelope: Envelope | None, message: Message, slot: int, uid: str) -> str:
        """Run one turn, noted in the slot file until it is on disk. The message is no suspect then, if it was one."""
        attempts = self._kernel.attempts
        if not cell.durable:
            attempts.note(slot, NOBODY, cell.address, True)
        turn: Turn | None = None
        try:
            waiting = self._dispatcher.executor.begin(cell, envelope, message, slot)
            if waiting is None:
                return GO_ON
            turn = cell.turn
            return await waiting
        finally:
            attempts.clear(slot)
            self.trial.over(uid)
            if uid in self.suspects and (turn is None or turn.status is not DISCARDED):
                self._clear(uid)

    # -- the end ----------------------------------------------------------------------------------------------

    def _clear(self, uid: str) -> None:
        suspect = self.suspects.pop(uid, None)
        if suspect is not None:
            self._kernel.attempts.write_suspect(suspect.slot, None)
            self.trial.forget(uid)
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
        kernel = self._kernel
        if kernel.caution is not self:
            return
        kernel.caution = None
        self.trial.close()
        kernel.events.emit(
            "recovery.ended",
            kernel.root_address,
            suspects=self.total,
            charged=self._charged,
            forgotten=self._forgotten,
            took_s=kernel.runtime.monotonic() - self._began,
        )

    def stop_waiting(self) -> None:
        """Let nothing wait for its turn any more, because the tree is being reset. Suspects stay suspects."""
        self.trial.reset()

    def forget_suspects(self) -> None:
        """Forget suspects that haven't come back: if the node is idle, their senders' turns will never run again. Those
        that run, or whose turn hasn't come, stay."""
        if self._kernel.closing:  # a stop puts messages back that are suspects of the next life
            return
        busy = {*self.trial.running, *self.trial.held.values()}
        for uid in [uid for uid in self.suspects if uid not in busy]:
            self._forgotten += 1
            self._clear(uid)
        if self.suspects:
            self._forget_later()

    def _forget_later(self) -> None:
        self._kernel.runtime.call_later(SUSPICION_S, self.forget_suspects)

    # -- the boot ---------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Charge what is to be charged, and let suspects run. The tree has started."""
        kernel, found = self._kernel, self._scan.suspects
        rows = {row.uid: row for row in found}
        here = []
        try:
            told = await kernel.store.with_uids(self.suspects.keys() - rows.keys(), kernel.index.horizon)
            rows.update((row.uid, row) for row in told)  # a tick that comes again
            for suspect in list(self.suspects.values()):
                row = rows.get(suspect.uid)
                if row is not None and (cell := self._cell_of(suspect, row)) is not None:
                    if suspect.verdict != "suspect":
                        await self._charge(cell, suspect, row)
                    elif cell.status in (UP, PASSIVE) and not cell.suspended:
                        here.append((suspect, cell))
        except StoreError as error:
            # A message that was to be charged has left its mailbox: nothing behind it may go on.
            kernel.store_failed(error)
        if self.suspects:
            self._say(len(self.suspects.keys() - rows.keys()))
            self._forget_later()
        self.trial.begin(here)

    def _cell_of(self, suspect: Started, row: MessageRow) -> Cell | None:
        """Its actor's cell; a suspect without one is none any more."""
        try:
            return self._kernel.router.resolve(row.address)
        except ActorNotFound:
            self._clear(suspect.uid)
            return None

    def _say(self, absent: int) -> None:
        kernel, count, alone = self._kernel, len(self.suspects), self.trial.alone
        kernel.events.emit("recovery.started", kernel.root_address, suspects=count, alone=alone, absent=absent)

    async def _charge(self, cell: Cell, suspect: Started, row: MessageRow) -> None:
        """Charge a message one attempt, and note that it has been charged.

        Raises:
            StoreError
        """
        kernel = self._kernel
        entry = cell.mailbox.take(row.uid, row.id)  # None if it waits for a retry, so it has been charged
        envelope = entry if isinstance(entry, Envelope) else None
        if isinstance(entry, int):
            envelope = (await page_in(kernel, [entry])).get(entry)
        if envelope is not None:
            if suspect.verdict == "hang":
                reason = ExitReason(
                    kind="killed",
                    error="Hang",
                    text="its handler blocked the event loop, and the watchdog ended the node",
                    traceback=kernel.attempts.hang_report(),
                )
            else:
                text = "the process died again while this message was being handled, and it was the only suspect then"
                reason = ExitReason(kind="killed", error="Crash", text=text)
            charge(cell, envelope, reason, cause="hang" if suspect.verdict == "hang" else "crash")
            self._charged += 1
        await kernel.commits.flush()
        parked = envelope is not None and envelope.attempts >= cell.options.max_attempts
        if suspect.verdict == "hang" or parked:
            self._clear(suspect.uid)
        else:  # a death further on in this boot must not charge it again
            suspect = self.suspects[suspect.uid] = suspect._replace(verdict="suspect")
            kernel.attempts.write_suspect(suspect.slot, suspect)
