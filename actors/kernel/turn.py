"""Turn: one message and everything that its handler does, as one unit of work.

The states of a turn, and the steps of its finish in their order, are in docs/semantics/turn.md.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from ...persistence.commit.effects import Effects, Handled, Told
from ...persistence.errors import StoreDataError, StoreError
from ...persistence.home import Home
from ...persistence.store.rows import AttemptRow, MessageRow, Row
from ..mailbox.envelope import Ask, Envelope, derived_uid, seed_of, uid_of
from ..messages.message import Message
from ..messages.signals import Exit, ExitReason
from .cell import Cell
from .errors import AskFailed, SystemStopped, TurnClosed
from .failures import Refusals, charge, comes_of_stop, judge
from .hooks import Owed, Participant
from .incarnation import Incarnation

if TYPE_CHECKING:
    import asyncio

__all__ = ("ANYTHING", "FAILED", "FINISHED", "OPEN", "Turn", "begin")

P = TypeVar("P", bound=Participant)

OPEN, FINISHED, FAILED, DISCARDED = "open", "finished", "failed", "discarded"

SENDS: Final = 1
ANYTHING: Final = 2

NO_INSERTS: Final = ((), 100)


class Rare:
    """Attributes that few turns have. Each is one of the class until it is set."""

    __slots__ = ()
    __repr__ = object.__repr__  # that of a Struct says all that it holds

    seed: Any = None
    """The half-done hash that the uids of its sends share."""
    rows: list[Row] | None = None
    deletes: list[tuple[type[Row], Any]] | None = None
    batch: list[Envelope] | None = None
    """All envelopes of a batch handler's turn, the first one included."""
    exit: ExitReason | None = None
    """The reason for which the incarnation ends after this turn (kernel/leaving.py); None if it goes on."""
    put_aside: bool = False
    """Whether its message stays with the actor, and isn't acknowledged."""
    held: Callable[[Any, Any], Awaitable[None]] | None = None
    """Set while the turn holds a user transaction: ends it and the turn, with the result or the error."""
    interrupt: Callable[[], BaseException | None] | None = None
    """Set when the runtime cancelled the handler: makes the error to charge, or None for a stop without a charge."""
    task: asyncio.Task[Any] | None = None
    """The task that waits inside the handler, while it does."""
    coroutine: Any = None
    """The suspended handler, to be looked at (extensions/introspection/stack.py)."""
    draws: Any = None
    """The source of random numbers (`Actor.random`), once it has been asked for."""
    slot: int = -1
    """Under caution, the slot in which its runner has noted it; else -1."""
    since: float = 0.0
    """The time when the wait inside the handler began, in epoch seconds; 0 if it never waited."""


class Turn(Rare, Handled, msgspec.Struct, dict=True, eq=False):
    """The effects that one message collects until they commit.

    If these are only the acknowledgement, the state and the sends, the turn itself is the entry of the commit queue.
    """

    # A turn is made for every message. `Struct` makes one, with all attributes that each has, in one step of C.
    incarnation: Incarnation
    envelope: Envelope | None
    message: Message | None
    """None in `on_start` and `on_stop`."""
    uid: str
    cell: Cell
    after: int
    """The commit position that the turn rests on; its own, once it is finished."""
    position: int = 0
    """Its own position in the commit queue; 0 if it had nothing to commit."""
    status: str = OPEN
    ack: int = 0
    inserts: Sequence[Told] = ()
    state: bytes | None = None
    actor: Any = None
    ordinal: int = 0
    """The number of uids that were derived from its own."""
    eventful: int = 0
    """Whether there is more to finish than acknowledgement and state: 0 (no), `SENDS` without keys, or `ANYTHING`."""
    sends: list[tuple[Cell, Envelope]] | None = None
    participants: list[Participant] | None = None
    """The parts of features in this turn, in the order of their ranks; None for nearly all turns."""
    waits: bool = False
    """Whether a participant has to be made ready before the finish: to look up an idempotency key, say."""
    retiring: bool = False
    """Whether state and mailbox are deleted with the incarnation's end."""

    # -- what handlers see ---------------------------------------------------------------------------

    @property
    def key(self) -> str:
        """An idempotency key for effects outside the database: the message's uid, the same in each attempt."""
        if not self.uid:  # told in memory, where nobody has asked for it yet
            self.uid = self.cell.kernel.next_uid()
        return self.uid

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return 1 if self.envelope is None else self.envelope.attempts + 1

    async def settled(self) -> None:
        """Return once everything that this turn rests on is committed.

        A handler that acts on the outside world awaits it first. No crash can undo the state and messages that it saw.

        Raises:
            TurnClosed: the turn is over.
            StoreFull, StoreUnavailable: something that it rests on was lost; its message is handled again.
            RuntimeError: inside `transaction()`, which began with a settled turn. WrongThread
        """
        self.cell.kernel.part(Home).check("settled()")
        self.check_open()
        if self.held is not None:
            raise RuntimeError("settled() inside transaction(): the transaction began with a settled turn")
        await self.cell.kernel.commits.wait(self.after)

    # -- what the runtime does -------------------------------------------------------------------------

    @property
    def is_current(self) -> bool:
        """Whether it is open, and its incarnation not fenced off."""
        return self.status is OPEN and self.cell.incarnation is self.incarnation

    def check_open(self) -> None:
        if self.status is not OPEN or self.cell.incarnation is not self.incarnation:
            raise TurnClosed(self.cell.address, "hook" if self.message is None else "handler")

    def next_uid(self) -> str:
        """`derived_uid` of this turn and the next ordinal."""
        self.ordinal = ordinal = self.ordinal + 1
        if ordinal == 1:
            return derived_uid(self.uid or self.key, 1)
        seed = self.seed
        if seed is None:
            seed = self.seed = seed_of(self.uid or self.key)
        return uid_of(seed, ordinal)

    def send(self, cell: Cell, envelope: Envelope) -> None:
        if self.sends is None:
            self.sends = []
            self.eventful = self.eventful or SENDS
        self.sends.append((cell, envelope))

    def record(self, *rows: Row) -> None:
        """Add rows that commit with the turn."""
        if self.rows is None:
            self.rows = []
            self.eventful = ANYTHING
        self.rows.extend(rows)

    def delete(self, kind: type[Row], key: Any) -> None:
        if self.deletes is None:
            self.deletes = []
            self.eventful = ANYTHING
        self.deletes.append((kind, key))

    def part(self, kind: type[P]) -> P:
        """A feature's part in this turn. It is made if there is none yet."""
        parts = self.participants
        if parts is None:
            parts = self.participants = []
            self.eventful = ANYTHING
        if (found := self.find(kind)) is not None:
            return found
        part = kind(self)  # type: ignore[call-arg]  # every participant is made with its turn
        place = len(parts)
        while place and parts[place - 1].rank > part.rank:
            place -= 1
        parts.insert(place, part)
        return part

    def find(self, kind: type[P]) -> P | None:
        """A feature's part in this turn, if it has one."""
        for one in self.participants or ():
            if type(one) is kind:
                return one
        return None

    async def make_ready(self) -> None:
        """Let participants look up what they need. Nothing may be awaited between this and the finish.

        Raises: KeyConflict, StoreError
        """
        for participant in reversed(self.participants or ()):
            await participant.ready()

    def has_told(self, cell: Cell) -> bool:
        return self.sends is not None and any(receiver is cell for receiver, _ in self.sends)

    def finish(self, result: Any = None, reply: Callable[[Any], Any] | None = None) -> None:
        """Submit the effects, deliver the sends and answer the asker, because the handler returned. Never raises."""
        cell = self.cell
        if self.status is not OPEN or cell.incarnation is not self.incarnation:
            self.discard()
            return
        state = None
        try:
            if cell.state.writes and not self.retiring:
                state = cell.state.changed(self.incarnation.actor)
            if reply is not None and not self.put_aside:
                result = reply(result)
        except BaseException as error:  # user code encodes and compares
            self.fail(error)
            if isinstance(error, KeyboardInterrupt):
                raise
            return
        envelope, commits = self.envelope, cell.kernel.commits
        try:
            if self.eventful is ANYTHING or (envelope is not None and envelope.attempts):
                effects = self.effects(state)
                if effects is not None:
                    self.after = self.position = commits.put(effects, effects.size)
                self.close(result, state)
                return
            # Nearly all turns come here: the turn itself goes into the commit queue.
            self.ack = 0 if envelope is None else envelope.id
            self.inserts, size = NO_INSERTS if self.sends is None else self._inserts()
            self.state = state
            if state is not None:
                self.actor = cell.state
                size += len(state)
            if self.ack or self.inserts or state is not None:
                self.after = self.position = commits.put(self, size)
        except StoreError:
            self.discard()
            return
        self.status = FINISHED
        cell.after = self.after
        cell.turn = None
        if state is not None:
            cell.state.finished(state)
        if self.sends is not None:
            sends, self.sends = self.sends, None  # the commit needs only `inserts`
            cell.kernel.router.deliver(cell, sends, self.after)
        if type(envelope) is Ask:
            envelope.answer(result, self.after, commits)

    def _inserts(self) -> tuple[list[Envelope], int]:
        """The messages that it sent to durable actors, each with an id now; and about how many bytes they take."""
        next_id = self.cell.kernel.next_id
        inserts: list[Envelope] = []
        size = 100
        for receiver, sent in self.sends or ():
            if receiver.durable:
                sent.id = next_id()
                inserts.append(sent)
                size += 200 if sent.body is None else 200 + len(sent.body)
        return inserts, size

    def effects(self, state: bytes | None, *, ahead: bool = False) -> Effects | None:
        """The effects to commit, or None if there are none.

        Args:
            ahead: the turn commits before the queue, because it holds a user transaction.
        """
        cell, envelope = self.cell, self.envelope
        ack = 0 if envelope is None else envelope.id
        batch: Sequence[Envelope] = self.batch or ()
        inserts, size = self._inserts()
        size += 0 if state is None else len(state)
        if self.participants is not None:
            place = 0
            while place < len(self.participants):  # one may bring in another, of a higher rank
                size += self.participants[place].prepare(inserts, ahead)
                place += 1
            if self.put_aside and not self.retiring:
                ack, batch = 0, ()
        if ack and envelope is not None and envelope.attempts:
            self.delete(AttemptRow, ack)
        for other in batch:
            if other.id and other is not envelope:
                self.delete(MessageRow, other.id)
                if other.attempts:
                    self.delete(AttemptRow, other.id)
        if not (ack or inserts or state is not None or self.rows or self.deletes):
            return None
        return Effects(
            ack=ack,
            inserts=inserts,
            actor=None if state is None else cell.state,
            state=state,
            rows=self.rows or (),
            deletes=self.deletes or (),
            guilty=self,
            size=size,
        )

    def close(self, result: Any, state: bytes | None) -> None:
        """Do the rest of the finish, once the effects have their position in the commit queue."""
        cell, after = self.cell, self.after
        self.status = FINISHED
        cell.after = after
        if state is not None:
            cell.state.finished(state)
        if self.eventful and self.sends is not None:
            cell.kernel.router.deliver(cell, self.sends, after)
        envelope = self.envelope
        if type(envelope) is Ask and not self.put_aside:
            envelope.answer(result, after, cell.kernel.commits)
        cell.turn = None
        for participant in self.participants or ():
            participant.apply()

    def discard(self, because: BaseException | None = None) -> None:
        """End the turn without a trace: it is fenced off. The caller takes care of the message; an asker is refused.

        Args:
            because: the exception of `on_start` or `on_stop`; for observers of the turn.
        """
        if self.status is OPEN:
            self.status = DISCARDED
        if self.cell.turn is self:
            self.cell.turn = None
        for participant in self.participants or ():
            participant.withdraw()
        envelope = self.envelope
        if type(envelope) is Ask:
            reason = ExitReason.killed("the actor was stopped before it answered")
            address, stopping = self.cell.address, self.cell.kernel.closing
            envelope.refuse(SystemStopped(address) if stopping else AskFailed(address, reason))

    def fail(self, error: BaseException) -> None:
        """Roll back, because the handler raised. Charge the message; unless the error was an expected one, exit."""
        cell, envelope = self.cell, self.envelope
        if self.status is not OPEN or cell.incarnation is not self.incarnation:
            self.discard()
            return
        if cell.kernel.closing and comes_of_stop(error):
            self.discard()  # the message stays on disk, uncharged: the next life handles it
            cell.state.restore(self.incarnation.actor)
            return
        self.status = FAILED
        cell.turn = None
        for participant in self.participants or ():
            participant.withdraw()
        verdict = judge(cell.options, error)
        answering = cell.definition.cls._answers
        if isinstance(error, answering):
            verdict = verdict._replace(cause="rejected", park=True, exits=False)
        if self.batch is not None and len(self.batch) > 1:
            # Nobody knows which message is guilty. So each is tried alone, and is charged then.
            cell.give_back(self.batch, alone=True)
            cell.state.restore(self.incarnation.actor)
            return
        if envelope is None and self.message is not None:
            envelope = cell.kernel.wrap(cell.address, self.message, self.uid)
        if type(envelope) is Ask:
            envelope.refuse(error if isinstance(error, answering) else AskFailed(cell.address, verdict.reason))
        elif envelope is not None:
            owed: Sequence[Owed] = ()
            if verdict.exits and cell.kernel.hooks.concerns(cell.address):
                end = Exit(cell.address, self.incarnation.number, verdict.reason, self.uid, envelope.attempts + 1)
                owed = cell.kernel.owed(end, self.after)
            charge(
                cell,
                envelope,
                verdict.reason,
                cause=verdict.cause,
                at_once=verdict.park,
                after_s=verdict.after_s,
                owed=owed,
            )
        if verdict.exits:
            cell.leaving = (verdict.reason, self.uid, 0 if envelope is None else envelope.attempts)
        else:
            cell.state.restore(self.incarnation.actor)

    def refused(self, entry: object, error: StoreDataError) -> Effects | None:
        """The database refuses data of this turn: its message is charged a failed
        attempt, or the message of its asker."""
        return self.cell.kernel.part(Refusals).of_turn(self, error)


def begin(incarnation: Incarnation, envelope: Envelope | None, message: Message | None, uid: str) -> Turn:
    """A turn of this incarnation."""
    cell = incarnation.cell
    after = cell.after
    if envelope is not None and envelope.after > after:
        after = envelope.after
    return Turn(incarnation, envelope, message, uid, cell, after)
