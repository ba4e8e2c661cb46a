"""Introspection: what every actor answers without declaring it (OTP: sys(3)).

    await ref.ask(GetState())               # the last finished state, as plain data
    await ref.ask(Suspend())                # handles nothing but these, and system signals, until
    await ref.ask(Resume())
    await ref.ask(Statistics(on=True))
    await ref.ask(GetStatistics())          # an ActorStatistics; None while they are off

They are ordinary requests: they stand in line with other messages, and their replies pass the same gate. Only a
suspended actor takes them out of turn.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import singledispatch
from typing import TYPE_CHECKING, Any, cast

import msgspec

from ...definition.handlers import HandlerSpec
from ...kernel.errors import Reject
from ...messages.message import ENCODER, Message, Request, tag_of
from ...messages.types import class_path

if TYPE_CHECKING:
    from ...kernel.incarnation import Incarnation

__all__ = (
    "SYSTEM_HANDLERS",
    "SYSTEM_TAGS",
    "ActorStatistics",
    "GetState",
    "GetStatistics",
    "Resume",
    "Statistics",
    "Suspend",
    "check_handlers",
    "state_of",
)


class GetState(Request[Any], tag="greenroom.GetState"):
    """What is your state? As JSON has it: dicts, lists, texts, numbers, None. None from an actor without one.

    A supervisor answers `{"children": [{"id", "status"}], "hidden": 0}`, in start order, the first 1,000.
    OTP: sys:get_state/1.
    """


class Suspend(Request[None], tag="greenroom.Suspend"):
    """Handle nothing from now on but system messages, until `Resume`. OTP: sys:suspend/1.

    What is told meanwhile waits in the mailbox, up to its capacity; asks wait until they time out. A stop goes as
    usual. The suspension is the incarnation's: a restart, a reset of the tree and a boot end it.
    """


class Resume(Request[None], tag="greenroom.Resume"):
    """Go on where `Suspend` stopped you. Nothing happens if it didn't. OTP: sys:resume/1."""


class Statistics(Request[None], tag="greenroom.Statistics"):
    """Collect statistics, from zero (again); or stop it and forget them. OTP: sys:statistics/2.

    They are the incarnation's: a restart, and passivation, end them.
    """

    on: bool


class ActorStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What an incarnation has done since `Statistics(on=True)`. System messages don't count."""

    started: float
    """When the incarnation was started, in epoch seconds."""
    since: float
    """When collecting began, in epoch seconds."""
    now: float
    turns: int
    """Ended turns, the failed ones included; those that were cut off by a stop aren't."""
    failed: int
    """Of these: failed, retried, rejected."""
    asks: int
    tells: int
    """Messages that these turns handled: requests that somebody waited for, and what was told."""
    messages_in: int
    messages_out: int
    """What finished turns told others."""
    busy_ms: float
    """The time these turns took together, waits inside them included."""
    longest_ms: float
    longest_type: str
    """The stored name of what the longest one handled; "" before the first."""


class GetStatistics(Request[ActorStatistics | None], tag="greenroom.GetStatistics"):
    """What was collected since `Statistics(on=True)`? None if it is off. OTP: sys:statistics(Name, get)."""


@singledispatch
def state_of(actor: Any) -> Any:
    """An actor's state, to be shown. Supervision registers how its supervisors show theirs."""
    if type(actor).__definition__.state_type is None:
        return None
    return actor.state


def _get_state(actor: Any, _: GetState) -> Any:
    # No other turn is open, so the object is what the last finished one left; and this turn commits it, if it isn't.
    try:
        return msgspec.json.decode(ENCODER.encode(state_of(actor)))
    except Exception as error:
        raise Reject(f"its state can't be shown as JSON: {error}") from error


def _suspend(actor: Any, _: Suspend) -> None:
    """Never called: what a suspension does goes on after the turn (Suspensions.suspend)."""


def _resume(actor: Any, _: Resume) -> None:
    suspension = _incarnation(actor).cell.mailbox.suspension
    if suspension is not None:
        suspension.end()


def _statistics(actor: Any, message: Statistics) -> None:
    incarnation = _incarnation(actor)
    incarnation.system.tracing.count(incarnation, on=message.on)


def _get_statistics(actor: Any, _: GetStatistics) -> ActorStatistics | None:
    incarnation = _incarnation(actor)
    return incarnation.system.tracing.statistics_of(incarnation)


def _incarnation(actor: Any) -> Incarnation:
    return cast("Incarnation", actor._context)


SYSTEM_HANDLERS: dict[type[Message], HandlerSpec] = {
    spec.message_type: spec
    for spec in (
        HandlerSpec(_get_state, GetState, Any, is_async=False),
        # Not plain, so that it comes to Handling._elaborate.
        HandlerSpec(_suspend, Suspend, type(None), is_async=False, external=True),
        HandlerSpec(_resume, Resume, type(None), is_async=False),
        HandlerSpec(_statistics, Statistics, type(None), is_async=False),
        HandlerSpec(_get_statistics, GetStatistics, ActorStatistics | None, is_async=False),
    )
}
"""Part of every definition."""

SYSTEM_TAGS: dict[str, type[Message]] = {tag_of(message_type): message_type for message_type in SYSTEM_HANDLERS}


def check_handlers(cls: type, handled: Iterable[type[Message]]) -> None:
    """
    Raises:
        TypeError: the class handles what the runtime answers, or a message that is stored under the same name.
    """
    for message_type in handled:
        if message_type in SYSTEM_HANDLERS:
            raise TypeError(
                f"{cls.__qualname__}: it handles {class_path(message_type)}, and the runtime does that for every "
                "actor. Define a request of your own"
            )
        if tag_of(message_type) in SYSTEM_TAGS:
            raise TypeError(
                f"{cls.__qualname__}: it handles {class_path(message_type)}, and its tag {tag_of(message_type)!r} is "
                f'the runtime\'s. Give it another: `class {message_type.__name__}(Message, tag="...")`'
            )
