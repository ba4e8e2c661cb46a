"""What a failure is charged to: the message alone, or the actor as well (docs/semantics/turn.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ...persistence.commit.effects import Effects
from ...persistence.errors import StoreError
from ...persistence.store.checksums import seal
from ...persistence.store.rows import AttemptRow, DeadLetterRow, MessageRow
from ..mailbox.envelope import Envelope
from ..messages.message import ENCODER
from ..messages.signals import ExitReason
from .errors import Reject, Retry

if TYPE_CHECKING:
    from ..definition.definition import Options
    from ..extensions.monitors.relations import Ending
    from ..system import ActorSystem
    from .cell import Cell

__all__ = ("Verdict", "charge", "judge", "letter_effects", "park", "report_parked")


class Verdict(NamedTuple):
    reason: ExitReason
    cause: str
    park: bool
    """A dead letter at once, whatever `max_attempts` says."""
    exits: bool
    """Whether the actor exits too."""
    after_s: float | None
    """The backoff the handler asked for."""


def judge(options: Options, error: BaseException) -> Verdict:
    """Expected errors are data, unexpected errors crash."""
    reason = ExitReason.from_exception(error)
    if isinstance(error, Reject):
        return Verdict(reason, "rejected", True, False, None)
    if isinstance(error, Retry):
        return Verdict(reason, "failed", False, False, error.after_s)
    listed = options.verdict(error)
    if listed == "reject":
        return Verdict(reason, "rejected", True, False, None)
    return Verdict(reason, "failed", False, listed is None, None)


def charge(
    cell: Cell,
    envelope: Envelope,
    reason: ExitReason,
    *,
    cause: str,
    at_once: bool = False,
    after_s: float | None = None,
    ending: Ending | None = None,
) -> None:
    """One failed attempt of one message: redelivery after a backoff, or a dead letter.

    Args:
        ending: what the exit that the failure is owes to others; it commits with the attempt.
    """
    system = cell.system
    envelope.attempts += 1
    envelope.forget_object()
    if at_once or envelope.attempts >= cell.options.max_attempts:
        park(system, envelope, reason, cause, ending)
        return
    delay_s = cell.options.backoff.delay_s(envelope.attempts, system.jitter) if after_s is None else after_s
    due = system.runtime.now() + delay_s
    system.events.emit(
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
        row = seal(AttemptRow(envelope.id, envelope.uid, envelope.attempts, due, cause))
        try:
            envelope.after = _submit(system, Effects(rows=(row,)), ending)
        except StoreError:
            return  # the tree is about to be reset from the database, which still has the message
    system.delays.retry(cell, envelope, due)


def park(system: ActorSystem, envelope: Envelope, reason: ExitReason, cause: str, ending: Ending | None = None) -> None:
    """Make a dead letter of a message, in one commit with its removal from the mailbox."""
    try:
        _submit(system, letter_effects(system, envelope, reason, cause), ending)
    except StoreError:
        return
    report_parked(system, envelope, reason, cause)


def _submit(system: ActorSystem, effects: Effects, ending: Ending | None) -> int:
    """Submit the effects of a failure, with those of the exit that it is.

    Raises:
        StoreFull, StoreUnavailable
    """
    if ending is None:
        return system.committer.submit(effects)
    inserts, deletes, size = ending.entries(system.next_id)
    effects.inserts = inserts
    effects.deletes = [*effects.deletes, *deletes]
    effects.size += size
    position = system.committer.submit(effects)
    system.monitors.decided(ending, position)
    return position


def letter_effects(system: ActorSystem, envelope: Envelope, reason: ExitReason, cause: str) -> Effects:
    """The dead letter in, the message out."""
    body = envelope.body
    if body is None:
        body = ENCODER.encode(envelope.message)
    letter = seal(
        DeadLetterRow(
            id=envelope.id or system.next_id(),
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
            at=system.runtime.now(),
        )
    )
    gone = ((MessageRow, envelope.id), (AttemptRow, envelope.id)) if envelope.id else ()
    return Effects(rows=(letter,), deletes=gone)


def report_parked(system: ActorSystem, envelope: Envelope, reason: ExitReason, cause: str) -> None:
    system.events.emit(
        "message.parked",
        envelope.address,
        uid=envelope.uid,
        type=envelope.tag,
        cause=cause,
        attempts=envelope.attempts,
        error=reason.error,
        text=reason.text,
    )
