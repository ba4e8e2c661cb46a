"""Errors about messages, replies and states, and the root of the actor layer's errors.

Every error keeps its subject as attributes and builds its own message.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, ClassVar, TypeVar

from ...persistence.errors import GreenroomError

__all__ = (
    "ActorError",
    "NotAMessage",
    "ReplyError",
    "StateError",
    "UndecodableMessage",
    "UnhandledMessage",
    "UnknownMessageType",
    "shortened",
    "type_name_of",
)

E = TypeVar("E", bound=BaseException)

DEFINED_TWICE = "was defined twice, by a notebook cell that ran again or a module that was loaded again"
DEFINE_AGAIN = "Define the actor's class again, after it, and start the node again"


def _restored(cls: type[E], args: tuple[Any, ...]) -> E:
    error = cls.__new__(cls)
    error.args = args
    return error


class ActorError(GreenroomError):
    """The root of the actor layer's errors."""

    leaves: ClassVar[dict[str, type[ActorError]]] = {}
    """Our own leaves by name. Another process that is told of one raises the same (remote/wire_errors.py)."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__module__.startswith("greenroom."):
            ActorError.leaves[cls.__name__] = cls

    def __reduce__(self) -> Any:
        # The default calls the class with `args`, which is the finished message here.
        return _restored, (type(self), self.args), self.__dict__


class NotAMessage(ActorError):
    """The object that was told is no `Message` instance; or the one that was asked is no `Request`."""

    def __init__(self, obj: object, *, is_message: bool = False) -> None:
        """
        Args:
            is_message: whether it is a message, but none that has a reply.
        """
        self.obj = obj
        if is_message:
            name = type(obj).__name__
            super().__init__(
                f"{name} is no request, so it has no reply. Tell it; or declare `class {name}(Request[int])` with the "
                "type of the reply"
            )
            return
        if isinstance(obj, type):
            found, remedy = f"the class {obj.__name__}", f"Make an instance: {obj.__name__}(...)"
        else:
            found = f"{shortened(repr(obj))} ({type(obj).__name__})"
            remedy = "Declare `class Deposit(Message): amount: int` and send Deposit(amount=5)"
        super().__init__(f"{found} is no message. {remedy}")


class UnhandledMessage(ActorError):
    """The actor has neither a handler nor a `receive` for the message."""

    def __init__(
        self,
        address: str,
        message_type: str,
        twins: tuple[str, str] | None = None,
        *,
        is_supervisor: bool = False,
        for_supervisor: bool = False,
    ) -> None:
        """
        Args:
            twins: the path of the class of that name that is handled, and the path of the class that was sent.
            is_supervisor: whether it is a supervisor, which has no messages of its user.
            for_supervisor: whether the message is one of those that only supervisors handle.
        """
        self.address = address
        self.message_type = message_type
        self.twins = twins
        if is_supervisor:
            text = _of_supervisor(address, message_type)
        elif for_supervisor:
            text = f"{address} is no supervisor, and {message_type} is for supervisors. Send it to the one above"
        elif twins is None:
            text = (
                f"{address} has no handler for {message_type}. Add a method with "
                f"`@handler` and `message: {message_type}`, or override `receive`"
            )
        elif twins[0] == twins[1]:
            text = f"{address} handles another {twins[0]} than this one: the class {DEFINED_TWICE}. {DEFINE_AGAIN}"
        else:
            text = (
                f"{address} handles {twins[0]}, and this is {twins[1]}. Import it from where the actor has it, "
                'or give it a tag of its own: `class ...(Message, tag="...")`'
            )
        super().__init__(text)


class UnknownMessageType(ActorError):
    """No class goes by the type name that the stored message carries."""

    def __init__(
        self, address: str, message_type: str, known: Iterable[str] = (), *, is_supervisor: bool = False
    ) -> None:
        """
        Args:
            known: the tags of the messages that it handles.
            is_supervisor: whether it is a supervisor, which has no messages of its user.
        """
        self.address = address
        self.message_type = message_type
        self.known = tuple(sorted(known))
        if is_supervisor:
            text = _of_supervisor(address, message_type)
        else:
            close = difflib.get_close_matches(message_type, self.known, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            listed = f"; it knows {shortened(', '.join(self.known))}" if self.known else ""
            text = (
                f"{address} knows no message type {message_type!r}{hint}{listed}. If the class was renamed, give it "
                f"`tag={message_type!r}`, or name the new tag under [aliases.messages]; a dead letter can be requeued "
                "then (greenroom dead requeue)"
            )
        super().__init__(text)


class UndecodableMessage(ActorError):
    """The stored body doesn't fit the message class; or a message that is being sent wouldn't come back as it is."""

    def __init__(self, address: str, message_type: str, why: str, remedy: str = "") -> None:
        """
        Args:
            remedy: the thing to do for the sender, if it is being sent; in full sentences but for the last stop.
        """
        self.address = address
        self.message_type = message_type
        self.why = why
        self.remedy = remedy
        if remedy:
            text = f"{_article(message_type)} {message_type} can't be sent to {address}: {why}. {remedy}"
        else:
            text = (
                f"{_article(message_type)} {message_type} for {address} doesn't decode: {why}. If the class has new "
                "fields, give them a default; a dead letter can be requeued then (greenroom dead requeue)"
            )
        super().__init__(text)


class StateError(ActorError):
    """The state can't be made or encoded, or wouldn't come back as it is; or a stored state isn't the class's.

    Attributes:
        fix: the remedy, in full sentences but for the last stop; "" if `why` says it.
    """

    def __init__(self, address: str, why: str, fix: str = "") -> None:
        self.address = address
        self.why = why
        self.fix = fix
        super().__init__(f"state of {address}: {why}. {fix}" if fix else f"state of {address}: {why}")


class ReplyError(ActorError):
    """The handler returned a value that isn't what its request promises, or one that would reach the asker as another.

    Attributes:
        fix: the remedy, in full sentences but for the last stop.
    """

    def __init__(self, handler: str, request_type: str, why: str, fix: str = "") -> None:
        self.handler = handler
        self.request_type = request_type
        self.why = why
        self.fix = fix or f"Return what `class {request_type}(Request[...])` says, or change it there"
        super().__init__(f"{handler} returned no reply that fits {request_type}: {why}. {self.fix}")


def _article(name: str) -> str:
    return "an" if name[:1].lower() in "aeiou" or (len(name) == 1 and name in "FHLMNRSX") else "a"


def _of_supervisor(address: str, message_type: str) -> str:
    return (
        f"{address} is a supervisor, and takes no {message_type}. Send it to an actor below {address}: "
        "`greenroom tree` shows what there is"
    )


def shortened(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"


def type_name_of(obj: object) -> str:
    return obj if isinstance(obj, str) else type(obj).__name__
