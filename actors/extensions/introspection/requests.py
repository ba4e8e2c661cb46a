"""Introspection: the requests that every actor answers without declaring them (OTP: sys(3)).

    await ref.ask(GetState())               # the last finished state, as plain data
    await ref.ask(Suspend())                # handles nothing but these, and system signals, until
    await ref.ask(Resume())
    await ref.ask(Statistics(on=True))
    await ref.ask(GetStatistics())          # an ActorStatistics; None while they are off

They are ordinary requests: they stand in line with other messages, and their replies pass the same gate. Only a
suspended actor takes them out of turn.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import msgspec

from ...messages.message import SystemRequest

__all__ = (
    "ActorStatistics",
    "GetState",
    "GetStatistics",
    "Resume",
    "Statistics",
    "Suspend",
    "state_of",
)


class GetState(SystemRequest[Any], tag="greenroom.GetState"):
    """Ask for the state as plain data, as JSON has it. An actor without a state answers None.

    A supervisor answers `{"children": [{"id", "status"}], "hidden": 0}`, in start order, the first 1,000.
    OTP: sys:get_state/1.
    """


class Suspend(SystemRequest[None], tag="greenroom.Suspend"):
    """Handle nothing from now on but system messages, until `Resume`. OTP: sys:suspend/1.

    Messages that are told meanwhile wait in the mailbox, up to its capacity; asks wait until they time out. A stop goes
    as usual. The suspension is the incarnation's: a restart, a reset of the tree and a boot end it.
    """


class Resume(SystemRequest[None], tag="greenroom.Resume"):
    """Go on where `Suspend` stopped you. Nothing happens if it didn't. OTP: sys:resume/1."""


class Statistics(SystemRequest[None], tag="greenroom.Statistics"):
    """Collect statistics, from zero (again); or stop collecting, and forget them. OTP: sys:statistics/2.

    They are the incarnation's, so a restart, and passivation, end them.
    """

    on: bool


class ActorStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of an incarnation since `Statistics(on=True)`. System messages don't count."""

    started: float
    """The time when the incarnation was started, in epoch seconds."""
    since: float
    """The time when collecting began, in epoch seconds."""
    now: float
    turns: int
    """The number of ended turns, the failed ones included. Turns that were cut off by a stop don't count."""
    failed: int
    """The number of those turns that failed, were retried or were rejected."""
    asks: int
    tells: int
    """The number of messages that these turns handled: requests with a waiting asker, and told messages."""
    messages_in: int
    messages_out: int
    """The number of messages that finished turns told others."""
    busy_ms: float
    """The time in milliseconds that these turns took together, waits inside them included."""
    longest_ms: float
    longest_type: str
    """The stored name of the message of the longest turn; "" before the first."""


class GetStatistics(SystemRequest[ActorStatistics | None], tag="greenroom.GetStatistics"):
    """Ask for the figures since `Statistics(on=True)`; None if statistics are off. OTP: sys:statistics(Name, get)."""


@singledispatch
def state_of(actor: Any) -> Any:
    """An actor's state, to be shown. Supervision registers how its supervisors show theirs."""
    if type(actor).__definition__.state_type is None:
        return None
    return actor.state
