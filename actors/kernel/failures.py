"""Failures: what a failure, or data that the database refuses, is charged to (docs/semantics/turn.md and commit.md).

| refused data | who answers |
| --- | --- |
| a message's turn | the message, by a failed attempt |
| a request's turn | its asker: one outside has the error; an actor, by the message in whose turn it asked |
| a tell from outside | the teller, who has the error; an inbox row is parked, or answered with it |
| a tick, with its timer | the tick: a dead letter, and the timer goes on |
| an `on_start` | the actor: its start turns out to have failed, and so it exits |
| an `on_stop` | the actor, with the next one |
| anything else | nobody; a node to which that happens again and again gives up |

Data after the refused ones in the commit queue are dropped, and the tree is reset. For an actor's starts and stops that
happens only once. From then on they wait for their own commit before any other actor sees anything of them, and a
refusal is a failure as any other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...persistence.commit.effects import Effects
from ...persistence.errors import StoreDataError, StoreError
from ...persistence.store.checksums import seal
from ...persistence.store.rows import AttemptRow, DeadLetterRow, MessageRow
from ..definition.options import Options
from ..mailbox.envelope import NOTHING, Ask, Envelope
from ..messages.codec import round_trip
from ..messages.errors import UndecodableMessage
from ..messages.message import ENCODER, Message, tag_of
from ..messages.signals import ExitReason
from ..messages.tracebacks import type_name
from .cell import Cell
from .errors import Reject, Retry, SystemStopped
from .hooks import Owed
from .kernel import Kernel

__all__ = ("Refusals", "Verdict", "charge", "comes_of_stop", "judge", "letter_effects", "park", "report_parked")

CAUSES_MAX = 20
"""A chain of causes is followed so far."""
RESETS_MAX = 10
PERIOD_S = 60.0
"""A node bears `RESETS_MAX` resets within so many seconds for data that nobody answers for."""
WARY_MAX = 10_000
"""The number of actors that are remembered for a refused start or stop; the oldest are forgotten."""


class Verdict(NamedTuple):
    reason: ExitReason
    cause: str
    park: bool
    """The message is a dead letter at once, whatever `max_attempts` says."""
    exits: bool
    """The actor exits, too."""
    after_s: float | None
    """The backoff in seconds that the handler asked for; None if it asked for none."""


def judge(options: Options, error: BaseException) -> Verdict:
    """Expected errors are data, unexpected errors crash."""
    reason = ExitReason.from_exception(error)
    if isinstance(error, Reject):
        return Verdict(reason, "rejected", True, False, None)
    if isinstance(error, Retry):
        return Verdict(reason, "failed", False, False, error.after_s)
    listed = options.verdict(error, (Retry,), (Reject,))
    if listed == "reject":
        return Verdict(reason, "rejected", True, False, None)
    return Verdict(reason, "failed", False, listed is None, _asked_s(error) if listed == "retry" else None)


def _asked_s(error: BaseException) -> float | None:
    """The longest backoff that a `Retry` in a group of exceptions asks for, in seconds; None if none does."""
    if isinstance(error, Retry):
        return error.after_s
    parts = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return max((asked for part in parts if (asked := _asked_s(part)) is not None), default=None)


def comes_of_stop(error: BaseException | None) -> bool:
    """Whether an exception goes back to a `SystemStopped`: something was refused because the node stops.

    It is that error, or was raised because of it, or is a group of nothing but such errors. A `Reject` is a verdict of
    the handler's own.
    """
    for _ in range(CAUSES_MAX):
        if error is None or isinstance(error, Reject):
            return False
        if isinstance(error, SystemStopped):
            return True
        if isinstance(error, BaseExceptionGroup) and all(map(comes_of_stop, error.exceptions)):
            return True
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False


def charge(
    cell: Cell,
    envelope: Envelope,
    reason: ExitReason,
    *,
    cause: str,
    at_once: bool = False,
    after_s: float | None = None,
    owed: Sequence[Owed] = (),
) -> None:
    """Charge one failed attempt to one message: it is redelivered after a backoff, or becomes a dead letter.

    Args:
        owed: messages and deletions that are owed to others if the failure is an exit; they commit with the attempt.
    """
    kernel = cell.kernel
    envelope.attempts += 1
    envelope.forget_object()
    if at_once or envelope.attempts >= cell.options.max_attempts:
        park(kernel, envelope, reason, cause, owed)
        return
    delay_s = _delay_s(cell, envelope) if after_s is None else after_s
    due = kernel.runtime.now() + delay_s
    kernel.events.emit(
        "message.failed",
        cell.address,
        uid=envelope.uid,
        type=envelope.tag,
        attempt=envelope.attempts,
        error=reason.error,
        text=reason.text,
        retry_s=delay_s,
    )
    if envelope.id:
        row = _attempt_row(envelope, due, cause)
        try:
            envelope.after = _submit(kernel, Effects(rows=(row,)), owed)
        except StoreError:
            return  # the tree is about to be reset from the database, which still has the message
    kernel.delayed.retry(envelope, due)


def _delay_s(cell: Cell, envelope: Envelope) -> float:
    return cell.options.backoff.delay_s(envelope.attempts, cell.kernel.jitter)


def _attempt_row(envelope: Envelope, due: float, cause: str) -> AttemptRow:
    return seal(AttemptRow(envelope.id, envelope.uid, envelope.attempts, due, cause))


def park(kernel: Kernel, envelope: Envelope, reason: ExitReason, cause: str, owed: Sequence[Owed] = ()) -> None:
    """Make a dead letter of a message, in one commit with its removal from the mailbox."""
    try:
        _submit(kernel, letter_effects(kernel, envelope, reason, cause), owed)
    except StoreError:
        return
    report_parked(kernel, envelope, reason, cause)


def _submit(kernel: Kernel, effects: Effects, owed: Sequence[Owed]) -> int:
    """Submit the effects of a failure, and of the exit that it may be.

    Raises:
        StoreFull, StoreUnavailable
    """
    for one in owed:
        inserts, deletes, size = one.entries(kernel.next_id)
        effects.inserts = [*effects.inserts, *inserts]
        effects.deletes = [*effects.deletes, *deletes]
        effects.size += size
    position = kernel.commits.submit(effects)
    for one in owed:
        one.decided(position)
    return position


def letter_effects(kernel: Kernel, envelope: Envelope, reason: ExitReason, cause: str) -> Effects:
    """The effects of parking: the dead letter is inserted, the message is deleted."""
    body = envelope.body
    if body is None:
        body = _body_of(envelope.message)
    letter = seal(
        DeadLetterRow(
            id=envelope.id or kernel.next_id(),
            address=envelope.address,
            uid=envelope.uid,
            sender=envelope.sender,
            key=envelope.key,
            type=envelope.tag,
            body=body.decode("utf-8", "backslashreplace"),
            attempts=envelope.attempts,
            cause=cause,
            error=reason.error,
            text=reason.text,
            traceback=reason.traceback,
            at=kernel.runtime.now(),
        )
    )
    gone = ((MessageRow, envelope.id), (AttemptRow, envelope.id)) if envelope.id else ()
    return Effects(rows=(letter,), deletes=gone)


def _body_of(message: Message | None) -> bytes:
    """The JSON of a message that was told in memory, where nothing has encoded it.

    One that would come back as another is kept as its `repr`: people can read that, and a requeue refuses it.
    """
    assert message is not None
    try:
        return round_trip("", message)[0]
    except UndecodableMessage:
        try:
            shown = repr(message)
        except Exception as error:
            shown = f"<{tag_of(type(message))} whose repr raised {type_name(type(error))}>"
        return ENCODER.encode(shown.encode("utf-8", "backslashreplace").decode())


def report_parked(kernel: Kernel, envelope: Envelope, reason: ExitReason, cause: str) -> None:
    kernel.events.emit(
        "message.parked",
        envelope.address,
        uid=envelope.uid,
        type=envelope.tag,
        cause=cause,
        attempts=envelope.attempts,
        error=reason.error,
        text=reason.text,
    )


class Refusals:
    """Refused data of one node: the party that answers for them, and the actors whose start or stop wrote some."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._wary: dict[str, None] = {}
        """Actors whose starts and stops wait for their commit, by address."""
        self.unsaid: dict[str, ExitReason] = {}
        """Starts that were refused when the actor was up already: it exits with its next start."""
        self._resets: deque[float] = deque(maxlen=RESETS_MAX)

    def of_turn(self, turn: Any, error: StoreDataError) -> Effects | None:
        """The effects to commit in place of a turn's refused ones; None if nobody answers for them."""
        asked = turn
        while isinstance(asked.envelope, Ask):
            ask = asked.envelope
            asker = ask.asker
            if asker is None or 0 < asker.position <= self._kernel.commits.committed:
                ask.at_fault = True
                return NOTHING  # it has the error; or it didn't wait for the reply, and won't ask again
            asked = asker
        envelope = asked.envelope
        if envelope is not None:
            return self._attempt(asked.cell, envelope, error) if envelope.id else NOTHING  # in memory, and lost there
        if asked.message is not None:
            return NOTHING
        return self._started(turn, error) if asked is turn else None

    def _attempt(self, cell: Cell, envelope: Envelope, error: StoreDataError) -> Effects:
        kernel = self._kernel
        envelope.attempts += 1
        if envelope.attempts >= cell.options.max_attempts:
            reason = ExitReason.from_exception(error)
            report_parked(kernel, envelope, reason, "failed")
            return letter_effects(kernel, envelope, reason, "failed")
        due = kernel.runtime.now() + _delay_s(cell, envelope)
        return Effects(rows=(_attempt_row(envelope, due, f"refused: {error.why}"),))

    def _started(self, turn: Any, error: StoreDataError) -> Effects | None:
        """Answer for the turn of an `on_start` or `on_stop`."""
        cell = turn.cell
        if self.wary(cell):
            return None
        while len(self._wary) >= WARY_MAX:
            del self._wary[next(iter(self._wary))]
        self._wary[cell.address] = None
        if cell.incarnation is turn.incarnation and not cell.on_demand:  # under a template its first message is charged
            self.unsaid[cell.address] = ExitReason.from_exception(error)
        return NOTHING

    def wary(self, cell: Cell) -> bool:
        """Whether the starts and stops of this actor wait for their commit."""
        return cell.address in self._wary

    def bears(self, error: StoreError) -> bool:
        """Whether the node bears one more reset that nobody answers for. If not, it has given up by the return."""
        if not isinstance(error, StoreDataError):
            return True
        now, resets = self._kernel.runtime.monotonic(), self._resets
        resets.append(now)
        if len(resets) < RESETS_MAX or resets[0] < now - PERIOD_S:
            return True
        why = (
            f"{error.why}. That, or the like, has reset the tree {RESETS_MAX} times within {PERIOD_S:g} s, and no "
            "message or actor is to blame. Look for triggers and constraints on greenroom's tables"
        )
        self._kernel.give_up(StoreDataError(why))
        return False
