"""The errors of the actor layer, and the exceptions with which a handler speaks to the runtime.

Every error keeps what it is about as attributes and builds its own message. `Retry`, `Reject` and `Ignore`
aren't errors: a handler raises them, greenroom never does, and so they don't stand under
`GreenroomError` (an `except GreenroomError` in a handler must not swallow a verdict).
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from ...persistence.errors import GreenroomError

if TYPE_CHECKING:
    from .signals import ExitReason

__all__ = (
    "ActorError",
    "ActorNotFound",
    "AskAfterTell",
    "AskCycle",
    "AskFailed",
    "AskTimeout",
    "GroupEmpty",
    "HandlerTimeout",
    "Ignore",
    "KeyConflict",
    "KeyDamaged",
    "MailboxFull",
    "NotAMessage",
    "NotAllTold",
    "NotRunning",
    "Reject",
    "ReplyError",
    "Retry",
    "StartFailed",
    "StateError",
    "SystemStopped",
    "TooManyMonitors",
    "TransactionTimeout",
    "TurnClosed",
    "UndecodableMessage",
    "UnhandledMessage",
    "UnknownMessageType",
)

E = TypeVar("E", bound=BaseException)


def _restored(cls: type[E], args: tuple[Any, ...]) -> E:
    error = cls.__new__(cls)
    error.args = args
    return error


class ActorError(GreenroomError):
    """The root of the actor layer's errors."""

    def __reduce__(self) -> Any:
        # The default calls the class with `args`, which is the finished message here.
        return _restored, (type(self), self.args), self.__dict__


# -- telling and asking -------------------------------------------------------------------------------


class NotAMessage(ActorError):
    """What was told or asked is no `Message` instance."""

    def __init__(self, obj: object) -> None:
        self.obj = obj
        if isinstance(obj, type):
            found, remedy = f"the class {obj.__name__}", f"Make an instance: {obj.__name__}(...)"
        else:
            found = f"{_shortened(repr(obj))} ({type(obj).__name__})"
            remedy = "Declare `class Deposit(Message): amount: int` and send Deposit(amount=5)"
        super().__init__(f"{found} is no message. {remedy}")


class ActorNotFound(ActorError):
    """There is no actor at the address, and nothing that would start one."""

    def __init__(self, address: str, why: str = "") -> None:
        self.address = address
        self.why = why
        super().__init__(
            f"no actor at {address}{f': {why}' if why else ''}. Check the address, or start the child there first"
        )


class MailboxFull(ActorError):
    """The mailbox holds as many messages as it may. `undelivered` is the message that was not taken."""

    def __init__(self, address: str, capacity: int, undelivered: object = None) -> None:
        self.address = address
        self.capacity = capacity
        self.undelivered = undelivered
        super().__init__(
            f"the mailbox of {address} is full ({capacity} messages). Tell again later, send less, "
            "or raise the actor's `capacity`"
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


class GroupEmpty(ActorError):
    """The group has no member that could be told. `undelivered` is the message that was not taken."""

    def __init__(self, group: str, undelivered: object = None) -> None:
        self.group = group
        self.undelivered = undelivered
        super().__init__(f"the group {group!r} has no members. Let actors `self.join({group!r})` in `on_start` first")


class NotAllTold(ActorError):
    """Some members of a group couldn't be told; `failed` says why, by address. Those in `told` were."""

    def __init__(self, group: str, failed: Mapping[str, GreenroomError], told: tuple[str, ...]) -> None:
        self.group = group
        self.failed = dict(failed)
        self.told = told
        address, error = next(iter(self.failed.items()))
        super().__init__(
            f"{len(self.failed)} of {len(self.failed) + len(told)} members of {group!r} couldn't be told: "
            f"{address}: {_shortened(str(error))}. Tell those in `failed` again, not the whole group"
        )


class TooManyMonitors(ActorError):
    """The actor has as many monitors, or links, as one may have."""

    def __init__(self, address: str, limit: int) -> None:
        self.address = address
        self.limit = limit
        super().__init__(
            f"{address} has {limit} monitors or links already. `demonitor` what it needn't watch any more; "
            "a monitor set in each turn is one more each time"
        )


class KeyConflict(ActorError):
    """The idempotency key was used for another message to the same mailbox."""

    def __init__(self, address: str, key: str) -> None:
        self.address = address
        self.key = key
        super().__init__(
            f"{address} was told another message under the key {key!r}. Repeat a key only with the same message"
        )


class KeyDamaged(KeyConflict):
    """The record of the idempotency key is damaged: whether this was told under it before isn't known."""

    def __init__(self, address: str, key: str) -> None:
        self.address = address
        self.key = key
        why = f"the record of the key {key!r} at {address} is damaged: it isn't known whether this was told before"
        super(KeyConflict, self).__init__(f"{why}. If it wasn't handled, tell it under another key")


class TurnClosed(ActorError):
    """The turn is over: what was sent, scheduled or written now could not be part of it."""

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__(
            f"the turn of {address} is over. Await the handler's child tasks before it returns, or tell "
            f"{address} a message and go on in its turn"
        )


class AskTimeout(ActorError, TimeoutError):
    """No reply came in time. The request may still have been handled."""

    def __init__(self, address: str, request: object, timeout_s: float) -> None:
        self.address = address
        self.request = request
        self.timeout_s = timeout_s
        super().__init__(
            f"{address} did not answer {_type_name(request)} within {timeout_s:g} s. "
            "It may still have been handled: make the request safe to repeat, or raise timeout_s"
        )


class AskCycle(ActorError):
    """The asks wait for each other in a circle and could never be answered."""

    def __init__(self, path: tuple[str, ...]) -> None:
        self.path = path
        super().__init__(f"the ask closes a circle: {' -> '.join(path)}. Use `tell` for one of these steps")


class AskAfterTell(ActorError):
    """The turn has told this address already: the ask would overtake that message."""

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__(
            f"this turn has told {address}, which leaves when the turn finishes; an ask now would overtake "
            "it. Ask first, or tell only"
        )


class AskFailed(ActorError):
    """The actor that was asked failed to answer. `reason` says how."""

    def __init__(self, address: str, reason: ExitReason) -> None:
        self.address = address
        self.reason = reason
        super().__init__(f"{address} failed to answer: {reason}. Its traceback is in `reason.traceback`")


# -- messages that can't be handled -------------------------------------------------------------------


class UnhandledMessage(ActorError):
    """The actor has neither a handler nor a `receive` for the message."""

    def __init__(self, address: str, message_type: str) -> None:
        self.address = address
        self.message_type = message_type
        super().__init__(
            f"{address} has no handler for {message_type}. Add a method with "
            f"`@handler` and `message: {message_type}`, or override `receive`"
        )


class UnknownMessageType(ActorError):
    """No class goes by the type name that the stored message carries."""

    def __init__(self, address: str, message_type: str, known: Iterable[str] = ()) -> None:
        self.address = address
        self.message_type = message_type
        self.known = tuple(sorted(known))
        close = difflib.get_close_matches(message_type, self.known, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        listed = f"; it knows {_shortened(', '.join(self.known))}" if self.known else ""
        super().__init__(
            f"{address} knows no message type {message_type!r}{hint}{listed}. "
            f"If the class was renamed, give it `tag={message_type!r}`, or name the new tag under [aliases.messages]; "
            "then requeue the message"
        )


class UndecodableMessage(ActorError):
    """The stored body doesn't fit the message class."""

    def __init__(self, address: str, message_type: str, why: str) -> None:
        self.address = address
        self.message_type = message_type
        self.why = why
        super().__init__(
            f"a {message_type} for {address} doesn't decode: {why}. Give new fields a default; then requeue the message"
        )


# -- turns and starts ---------------------------------------------------------------------------------


class StateError(ActorError):
    """The state can't be made, can't be encoded, or its bytes don't decode again; or a stored one isn't the class's.

    Attributes:
        fix: what to do about it, in full sentences but for the last stop; "" if `why` says it.
    """

    def __init__(self, address: str, why: str, fix: str = "") -> None:
        self.address = address
        self.why = why
        self.fix = fix
        super().__init__(f"state of {address}: {why}. {fix}" if fix else f"state of {address}: {why}")


class ReplyError(ActorError):
    """What the handler returned isn't what its request promises."""

    def __init__(self, handler: str, request_type: str, why: str) -> None:
        self.handler = handler
        self.request_type = request_type
        self.why = why
        super().__init__(
            f"{handler} returned no reply that fits {request_type}: {why}. "
            f"Return what `class {request_type}(Request[...])` says, or change it there"
        )


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
    """The turn held the write slot too long; its transaction was rolled back, and the turn fails."""

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


# -- a handler's verdicts -----------------------------------------------------------------------------


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


def _shortened(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"


def _type_name(obj: object) -> str:
    return obj if isinstance(obj, str) else type(obj).__name__
