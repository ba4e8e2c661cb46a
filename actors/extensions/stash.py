"""Stash: messages that an actor puts aside until it can handle them.

    class Door(Actor[Book]):
        @handler
        def knock(self, message: Knock) -> None:
            if not self.state.open:
                self.stash()
            else:
                self.state.guests.append(message.name)

        @handler
        def open(self, message: Open) -> None:
            self.state.open = True
            self.unstash_all()

The turn finishes without an acknowledgement: a stashed message keeps its row, and the next incarnation has it in its
mailbox. Akka: StashBuffer. OTP: gen_statem's `postpone`, selective receive.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ...persistence.store.checksums import seal
from ...persistence.store.rows import AttemptRow, MessageRow, Row
from ..kernel.cell import Cell
from ..kernel.hooks import Extension, Participant
from ..kernel.kernel import Kernel
from ..kernel.turn import Turn
from ..mailbox.envelope import Ask, Envelope, derived_uid
from ..mailbox.mailbox import Entry, Mailbox
from ..messages.errors import ActorError

__all__ = ("StashChanges", "StashFull", "Stashes", "put_back")


class StashFull(ActorError):
    """The actor has put as many messages aside as its mailbox may hold."""

    def __init__(self, address: str, capacity: int) -> None:
        self.address = address
        self.capacity = capacity
        super().__init__(
            f"{address} has stashed {capacity} messages, as many as its `capacity` allows. Call `unstash_all` earlier, "
            "reject what can't wait, or raise `capacity`"
        )


class Stashes(Extension):
    """The messages that actors of one node have put aside, in their order."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._stashed: dict[str, list[Entry]] = {}

    def of(self, address: str) -> list[Entry]:
        """The entries that an actor has put aside, to be read. Requests whose askers don't wait any more
        may be among them."""
        return self._stashed.get(address, [])

    def keep(self, address: str, entries: list[Entry]) -> None:
        if entries:
            self._stashed[address] = entries
        else:
            self._stashed.pop(address, None)

    def fenced(self, cell: Cell) -> None:
        """Put the stash back, because the next incarnation begins with it."""
        if self._stashed:
            put_back(cell.mailbox, self._stashed.pop(cell.address, []))

    def forget(self, address: str) -> None:
        cell = self._kernel.cells.get(address)
        if cell is not None:
            self.fenced(cell)  # the cell deletes its mail
        else:
            self._stashed.pop(address, None)

    def rows_of(self, address: str) -> list[tuple[type[Row], Any]]:
        ids = [int(entry if isinstance(entry, int) else getattr(entry, "id", 0)) for entry in self.of(address)]
        return [(kind, row_id) for row_id in ids if row_id for kind in (MessageRow, AttemptRow)]

    def keeps(self, cell: Cell) -> bool:
        return not all(map(_is_over, self.of(cell.address)))


class StashChanges(Participant):
    """The changes that one turn makes to its actor's stash. They take effect at the turn's finish, or not at all."""

    rank: ClassVar[int] = 4

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._stashes = turn.cell.kernel.part(Stashes)
        self._entries: list[Entry] = []
        """The messages of the turn, as they are put aside."""
        self._back = False
        """Whether the stash goes back into the mailbox."""
        self._again = False
        """Whether the messages of this turn go back as well."""

    # -- what the handler calls --------------------------------------------------------------------------

    def stash(self) -> None:
        turn, cell = self._turn, self._turn.cell
        if turn.message is None:
            raise RuntimeError("stash() puts the message aside that is being handled; here there is none")
        if turn.put_aside:
            return
        stash, capacity = self._stashes.of(cell.address), cell.options.capacity
        count = len(turn.batch or (turn.message,))
        if not self._back and len(stash) + count > capacity:
            stash = [entry for entry in stash if not _is_over(entry)]
            self._stashes.keep(cell.address, stash)
            if len(stash) + count > capacity:
                raise StashFull(cell.address, capacity)
        turn.put_aside = True

    def unstash_all(self) -> None:
        self._back = True
        self._again = self._turn.put_aside

    # -- the finish --------------------------------------------------------------------------------------

    def prepare(self, inserts: list[Envelope], ahead: bool) -> int:
        """Keep the turn from acknowledging the messages that it puts aside. Returns bytes.

        If the turn has derived ids from the message's uid, because it told something, the message goes on as a new one.
        Its next turn must not derive the same ids.
        """
        turn, size = self._turn, 0
        if not turn.put_aside:
            return size
        self._entries = list(turn.batch or (turn.envelope or _light(turn),))
        if not turn.ordinal or turn.retiring:
            return size
        for place, entry in enumerate(self._entries):
            if isinstance(entry, Envelope) and type(entry) is not Ask:
                self._entries[place] = renewed = _renewed(entry)
                if entry.id:
                    renewed.id = turn.cell.kernel.next_id()
                    inserts.append(renewed)
                    size += 200 + len(renewed.body or b"")
                    turn.delete(MessageRow, entry.id)
                    if entry.attempts:
                        row = AttemptRow(renewed.id, renewed.uid, entry.attempts, turn.cell.kernel.runtime.now(), "")
                        turn.delete(AttemptRow, entry.id)
                        turn.record(seal(row))
        return size

    def apply(self) -> None:
        turn, cell = self._turn, self._turn.cell
        if turn.retiring:  # told messages are gone with the mailbox; askers are refused with it
            self._entries = [entry for entry in self._entries if type(entry) is Ask]
        for entry in self._entries:
            if isinstance(entry, Envelope):
                entry.forget_object()
                entry.after = turn.after
                if type(entry) is Ask and turn.ordinal:
                    entry.uid = derived_uid(entry.uid, "stashed")
        kept = self._stashes.of(cell.address)
        if self._back:
            back, kept = kept, []
            if self._again:
                back, self._entries = back + self._entries, []
            put_back(cell.mailbox, back)
        kept += self._entries
        self._stashes.keep(cell.address, kept)
        cell.wake()


def _light(turn: Turn) -> Entry:
    """The entry of a message that came without an envelope. It gets one if its uid has been asked for."""
    assert turn.message is not None
    if not turn.uid:
        return turn.message
    return turn.cell.kernel.wrap(turn.cell.address, turn.message, turn.uid)


def _renewed(envelope: Envelope) -> Envelope:
    """The same message under another uid. The old one stays as it was, because the turn may be refused."""
    copy = Envelope(
        envelope.address, derived_uid(envelope.uid, "stashed"), envelope.message, envelope.tag, envelope.body
    )
    copy.sender, copy.key, copy.priority = envelope.sender, envelope.key, envelope.priority
    copy.attempts = envelope.attempts
    return copy


def put_back(mailbox: Mailbox, stash: list[Entry]) -> None:
    """Put the whole stash back at the head of the mailbox, in its order."""
    mailbox.push_front(*(entry for entry in stash if not _is_over(entry)))


def _is_over(entry: Entry) -> bool:
    """Whether it is a request whose asker doesn't wait any more."""
    return type(entry) is Ask and entry.future.done()
