"""Answers: the handlers of the requests that every actor answers."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from ...definition.handlers import HandlerSpec
from ...kernel.errors import Reject
from ...kernel.incarnation import Incarnation
from ...messages.message import ENCODER, Message
from .requests import ActorStatistics, GetState, GetStatistics, Resume, Statistics, Suspend, state_of
from .suspension import HeldMailbox, Suspensions, hold
from .tracer import Tracer

__all__ = ("SYSTEM_HANDLERS",)


def _get_state(actor: Any, _: GetState) -> Any:
    # No other turn is open, so the object is as the last finished one left it. This turn commits it if need be.
    try:
        return msgspec.json.decode(ENCODER.encode(state_of(actor)))
    except Exception as error:
        raise Reject(f"its state can't be shown as JSON: {error}") from error


def _suspend(actor: Any, _: Suspend) -> None:
    """The suspension itself begins after the turn (`hold`)."""
    life = _incarnation(actor)
    life.kernel.part(Suspensions).check_room(life.cell)


def _resume(actor: Any, _: Resume) -> None:
    mailbox = _incarnation(actor).cell.mailbox
    if isinstance(mailbox, HeldMailbox) and mailbox.suspension is not None:
        mailbox.suspension.end()


def _statistics(actor: Any, message: Statistics) -> None:
    life = _incarnation(actor)
    life.kernel.part(Tracer).count(life, on=message.on)


def _get_statistics(actor: Any, _: GetStatistics) -> ActorStatistics | None:
    life = _incarnation(actor)
    return life.kernel.part(Tracer).statistics_of(life)


def _incarnation(actor: Any) -> Incarnation:
    return cast(Incarnation, actor._context)


SYSTEM_HANDLERS: dict[type[Message], HandlerSpec] = {
    spec.message_type: spec
    for spec in (
        HandlerSpec(_get_state, GetState, Any, is_async=False),
        HandlerSpec(_suspend, Suspend, type(None), is_async=False, keeps_runner=hold),
        HandlerSpec(_resume, Resume, type(None), is_async=False),
        HandlerSpec(_statistics, Statistics, type(None), is_async=False),
        HandlerSpec(_get_statistics, GetStatistics, ActorStatistics | None, is_async=False),
    )
}
"""The handlers by message type. Every node has them (`Kernel.handlers`)."""
