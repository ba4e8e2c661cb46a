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

from typing import TYPE_CHECKING

from ...persistence.store.checksums import seal
from ...persistence.store.rows import AttemptRow, MessageRow
from ..mailbox.envelope import Ask, Envelope, derived_uid
from .timers.errors import StashFull

if TYPE_CHECKING:
    from ..kernel.turn import Turn
    from ..mailbox.mailbox import Entry, Mailbox

__all__ = ("Stashing", "is_empty", "put_back")


class Stashing:
    """What one turn does with its actor's stash. It takes effect at the turn's finish, or not at all."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._entries: list[Entry] = []
        """The messages of the turn, as they are put aside."""
        self._back = False
        """Whether what was in the stash goes back,"""
        self._again = False
        """and the messages of this turn with it."""

    @classmethod
    def of(cls, turn: Turn) -> Stashing:
        if turn.stashing is None:
            turn.stashing = cls(turn)
            turn.be_special()
        return turn.stashing

    # -- what the handler calls --------------------------------------------------------------------------

    def stash(self) -> None:
        turn, cell = self._turn, self._turn.cell
        if turn.message is None:
            raise RuntimeError("stash() puts the message aside that is being handled; here there is none")
        if turn.stashed:
            return
        stash, capacity = cell.stash or [], cell.options.capacity
        count = len(turn.batch or (turn.message,))
        if not self._back and len(stash) + count > capacity:
            cell.stash = stash = [entry for entry in stash if not _is_over(entry)]
            if len(stash) + count > capacity:
                raise StashFull(cell.address, capacity)
        turn.stashed = True

    def unstash_all(self) -> None:
        self._back = True
        self._again = self._turn.stashed

    # -- the finish --------------------------------------------------------------------------------------

    def settle(self, inserts: list[Envelope]) -> int:
        """What is put aside of the turn: no acknowledgement for it. Returns bytes.

        If the turn has derived ids from the message's uid (it told something), the message goes on as a new one: its
        next turn must not derive the same.
        """
        turn, size = self._turn, 0
        if not turn.stashed:
            return size
        self._entries = list(turn.batch or (turn.envelope or _light(turn),))
        if not turn.ordinal or turn.retiring:
            return size
        for place, entry in enumerate(self._entries):
            if isinstance(entry, Envelope) and type(entry) is not Ask:
                self._entries[place] = renewed = _renewed(entry)
                if entry.id:
                    renewed.id = turn.cell.system.next_id()
                    inserts.append(renewed)
                    size += 200 + len(renewed.body or b"")
                    turn.delete(MessageRow, entry.id)
                    if entry.attempts:
                        row = AttemptRow(renewed.id, renewed.uid, entry.attempts, turn.cell.system.runtime.now(), "")
                        turn.delete(AttemptRow, entry.id)
                        turn.record(seal(row))
        return size

    def settled(self) -> None:
        """The turn's effects have their place in the commit order."""
        turn, cell = self._turn, self._turn.cell
        if turn.retiring:  # what has been told is gone with the mailbox; who asks is refused with it
            self._entries = [entry for entry in self._entries if type(entry) is Ask]
        for entry in self._entries:
            if isinstance(entry, Envelope):
                entry.forget_object()
                entry.after = turn.after
                if type(entry) is Ask and turn.ordinal:
                    entry.uid = derived_uid(entry.uid, "stashed")
        kept = cell.stash or []
        if self._back:
            back, kept = kept, []
            if self._again:
                back, self._entries = back + self._entries, []
            put_back(cell.mailbox, back)
        kept += self._entries
        cell.stash = kept or None
        cell.wake()


def _light(turn: Turn) -> Entry:
    """A message that came without an envelope; with one, if somebody has seen its uid."""
    assert turn.message is not None
    if not turn.uid:
        return turn.message
    envelope = turn.cell.system.delivery.wrap(turn.cell, turn.message)
    envelope.uid = turn.uid
    return envelope


def _renewed(envelope: Envelope) -> Envelope:
    """The same message under another uid. The old one stays as it was: the turn may be refused."""
    copy = Envelope(
        envelope.address, derived_uid(envelope.uid, "stashed"), envelope.message, envelope.tag, envelope.body
    )
    copy.sender, copy.key, copy.priority = envelope.sender, envelope.key, envelope.priority
    copy.attempts = envelope.attempts
    return copy


def is_empty(stash: list[Entry] | None) -> bool:
    """Whether nothing is in it that anybody waits for."""
    return not stash or all(map(_is_over, stash))


def put_back(mailbox: Mailbox, stash: list[Entry]) -> None:
    """All of it to the head of the mailbox, in its order."""
    mailbox.push_front(*(entry for entry in stash if not _is_over(entry)))


def _is_over(entry: Entry) -> bool:
    """Whether it is a request that nobody waits for any more."""
    return type(entry) is Ask and entry.future.done()
