"""Errors of addresses, lives and turns, and the exceptions with which a handler speaks to the runtime.

`Retry`, `Reject` and `Ignore` aren't errors: a handler raises them, greenroom never does. They don't stand under
`GreenroomError`, because an `except GreenroomError` in a handler must not swallow a verdict.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..messages.errors import ActorError

if TYPE_CHECKING:
    from ..messages.signals import ExitReason

__all__ = (
    "ActorNotFound",
    "AskFailed",
    "HandlerTimeout",
    "Ignore",
    "NotRunning",
    "Reject",
    "Retry",
    "StartFailed",
    "SystemStopped",
    "TransactionTimeout",
    "TurnClosed",
)


class ActorNotFound(ActorError):
    """There is no actor at the address, and nothing that would start one."""

    def __init__(self, address: str, why: str = "") -> None:
        self.address = address
        self.why = why
        super().__init__(
            f"no actor at {address}{f': {why}' if why else ''}. Check the address, or start the child there first"
        )


class SystemStopped(ActorError):
    """The system is stopping or has stopped. `undelivered` is the message that was not taken."""

    def __init__(self, address: str = "", undelivered: object = None) -> None:
        self.address = address
        self.undelivered = undelivered
        super().__init__(
            f"the system has stopped{f'; nothing reaches {address}' if address else ''}. "
            "Send inside `async with start(...)`, or through a `Client`"
        )


class TurnClosed(ActorError):
    """The turn is over: a send, a timer or a state change that is made now can't be part of it."""

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__(
            f"the turn of {address} is over. Await the handler's child tasks before it returns, or tell "
            f"{address} a message and go on in its turn"
        )


class AskFailed(ActorError):
    """The actor that was asked failed to answer. `reason` says how."""

    def __init__(self, address: str, reason: ExitReason) -> None:
        self.address = address
        self.reason = reason
        super().__init__(f"{address} failed to answer: {reason}. Its traceback is in `reason.traceback`")


class HandlerTimeout(ActorError):
    """The handler ran longer than its actor's `handler_timeout_s` and was cancelled."""

    def __init__(self, address: str, timeout_s: float) -> None:
        self.address = address
        self.timeout_s = timeout_s
        super().__init__(
            f"a handler of {address} ran longer than {timeout_s:g} s. Make it shorter, put a timeout on "
            "what it awaits, or raise `handler_timeout_s`"
        )


class StartFailed(ActorError):
    """The actor did not start: its `__init__`, its state or its `on_start` failed."""

    def __init__(self, address: str, reason: ExitReason) -> None:
        self.address = address
        self.reason = reason
        super().__init__(f"{address} did not start: {reason}. The traceback is in `reason.traceback`")


class TransactionTimeout(ActorError):
    """The turn held its user transaction too long, so it was rolled back, and the turn fails."""

    def __init__(self, address: str, timeout_s: float) -> None:
        self.address = address
        self.timeout_s = timeout_s
        super().__init__(
            f"a turn of {address} held its transaction longer than {timeout_s:g} s, while every other "
            "commit waited. Do what is slow before `async with self.transaction()`, or raise "
            "`transaction_timeout_s`"
        )


class NotRunning(ActorError, AttributeError):
    """The actor has no address, state or turn yet."""

    def __init__(self, actor: str, attribute: str) -> None:
        self.actor = actor
        self.attribute = attribute
        super().__init__(
            f"{actor}.{attribute} doesn't exist before the actor runs. "
            f"Use it in `on_start` or in a handler, not in `__init__`"
        )


class Retry(Exception):
    """Raise it in a handler: roll back and handle this message again later. The actor goes on.

    Counts as an attempt: after `max_attempts` the message becomes a dead letter. An ask isn't repeated; its
    asker gets `AskFailed`.

    Args:
        after_s: seconds to wait; by default the actor's `backoff` decides.
        why: kept with the attempt.
    """

    def __init__(self, after_s: float | None = None, why: str = "") -> None:
        if after_s is not None and not 0 <= after_s < math.inf:
            raise ValueError(f"Retry(after_s={after_s!r}): seconds from now, zero or more")
        self.after_s = after_s
        self.why = why
        super().__init__(why or "the handler asked for a retry")

    def __reduce__(self) -> Any:
        return type(self), (self.after_s, self.why)


class Reject(Exception):
    """Raise it in a handler: roll back and make this message a dead letter, at once. The actor goes on."""

    def __init__(self, why: str = "") -> None:
        self.why = why
        super().__init__(why or "the handler rejected the message")

    def __reduce__(self) -> Any:
        return type(self), (self.why,)


class Ignore(Exception):
    """Raise it in `on_start`: this actor is not to run, and that is no failure (OTP: `ignore`)."""

    def __init__(self, why: str = "") -> None:
        self.why = why
        super().__init__(why or "on_start asked not to run")

    def __reduce__(self) -> Any:
        return type(self), (self.why,)
