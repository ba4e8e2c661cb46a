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
    "ExitInTask",
    "HandlerTimeout",
    "Ignore",
    "NotRunning",
    "Reject",
    "Retry",
    "SelfCancelled",
    "StartFailed",
    "SystemStopped",
    "TransactionTimeout",
    "TurnClosed",
)


class ActorNotFound(ActorError):
    """There is no actor at the address, and nothing that would start one."""

    def __init__(self, address: str, why: str = "", remedy: str = "") -> None:
        """
        Args:
            remedy: the thing to do, in full sentences but for the last stop; by default, to check the address.
        """
        self.address = address
        self.why = why
        if not remedy:
            if address.startswith("/") and not address.endswith("/"):
                remedy = "Check the address, or start the child there first"
            else:
                remedy = "Begin it with a slash, and end it without one"
        super().__init__(f"no actor at {address}{f': {why}' if why else ''}. {remedy}")


def start_first(address: str) -> str:
    """The remedy for an actor that is stopped."""
    return f"Start it first: RestartChild at its supervisor, or `greenroom actors start {address}`"


class SystemStopped(ActorError):
    """The system is stopping or has stopped. `undelivered` is the message that was not taken."""

    def __init__(self, address: str = "", undelivered: object = None, because: object = None) -> None:
        """
        Args:
            because: the error with which the node has ended by itself; None if it was stopped.
        """
        self.address = address
        self.undelivered = undelivered
        self.because = None if because is None else str(because)
        if self.because is None:
            found = "the system is stopping, or has stopped"
            remedy = "Call it inside `async with start(...)`"
            if address:
                remedy = "Send inside `async with start(...)`, or through a `Client`"
        else:
            found = f"the node has ended by itself ({self.because.partition(chr(10))[0]})"
            remedy = "Mend that, and start it again"
        super().__init__(f"{found}{f'; nothing reaches {address}' if address else ''}. {remedy}")


_CLOSED = {
    "handler": (
        "the turn of {address} is over, and its tasks can't send any more. Await the handler's tasks before it "
        "returns. A task that is to live longer belongs to a TaskSupervisor: `tasks(...).start(...)` of the system"
    ),
    "hook": (
        "the turn of {address}'s `on_start` or `on_stop` is over, and its tasks can't send any more. A task that is to "
        "live longer belongs to a TaskSupervisor: `tasks(...).start(...)` of the system"
    ),
    "none": (
        "{address} runs no turn at this moment, so there is nothing that this could commit with. Tell {address} a "
        "message, and do it in its handler"
    ),
    "life": (
        "this incarnation of {address} has ended. Ask the one that runs now: `system.ref({address!r})`, and not an "
        "instance that was kept"
    ),
}


class TurnClosed(ActorError):
    """The turn is over, or there is none: a send, a timer or a state change that is made now can't be part of it."""

    def __init__(self, address: str, place: str = "handler") -> None:
        """
        Args:
            place: "handler" or "hook" (`on_start` or `on_stop`), of which the turn was; "none" if no turn runs; or
                "life" if the incarnation has ended.
        """
        self.address = address
        self.place = place
        super().__init__(_CLOSED[place].format(address=address))


SEE_TRACEBACK = "The traceback is in `reason.traceback`"


def _traceback_of(reason: ExitReason) -> str:
    """Where to find the traceback, unless there is none, or the reason says so itself."""
    return f". {SEE_TRACEBACK}" if reason.traceback and not reason.text.endswith(SEE_TRACEBACK) else ""


class AskFailed(ActorError):
    """The actor that was asked failed to answer. `reason` says how."""

    def __init__(self, address: str, reason: ExitReason) -> None:
        self.address = address
        self.reason = reason
        super().__init__(f"{address} failed to answer: {reason}{_traceback_of(reason)}")


class HandlerTimeout(ActorError):
    """The handler, `on_start` or `on_stop` ran longer than it may, and was cancelled.

    The limit is the actor's `handler_timeout_s`; for `on_stop`, what is left of the `shutdown` of its child spec.
    """

    def __init__(self, address: str, timeout_s: float, place: str = "a handler") -> None:
        """
        Args:
            place: the method that ran too long.
        """
        self.address = address
        self.timeout_s = timeout_s
        self.place = place
        limit = "the `shutdown` of its child spec" if place == "`on_stop`" else "`handler_timeout_s`"
        super().__init__(
            f"{place} of {address} ran longer than {timeout_s:g} s. Make it shorter, put a timeout on "
            f"what it awaits, or raise {limit}"
        )


class StartFailed(ActorError):
    """The actor did not start: its `__init__`, its state or its `on_start` failed."""

    def __init__(self, address: str, reason: ExitReason) -> None:
        self.address = address
        self.reason = reason
        super().__init__(f"{address} did not start: {reason}{_traceback_of(reason)}")


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


class SelfCancelled(ActorError):
    """`__init__`, `on_start` or `on_stop` ended in a `CancelledError` that the runtime hadn't asked for."""

    def __init__(self, address: str, hook: str) -> None:
        self.address = address
        self.hook = hook
        super().__init__(
            f"{hook} of {address} ended in a CancelledError that greenroom hadn't asked for. It awaited something that "
            "was cancelled, or cancelled itself. Catch asyncio.CancelledError where a task is awaited that may be "
            "cancelled"
        )


class ExitInTask(ActorError):
    """`SystemExit` or `GeneratorExit` out of a task or a thread that user code has made: a failure as any other."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        super().__init__(
            f"{error!r} in a task or a thread of an actor is a failure as any other, and ends neither the node nor the "
            "program. To end the node, let the program leave its `async with start(...)`"
        )


class Retry(Exception):
    """Raise it in a handler: roll back and handle this message again later. The actor goes on.

    Counts as an attempt: after `max_attempts` the message becomes a dead letter. An ask isn't repeated; its
    asker gets `AskFailed`.

    Args:
        after_s: seconds to wait; by default the actor's `backoff` decides.
        why: the text of the failure, in the log, in the event `message.failed` and in the dead letter.
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
