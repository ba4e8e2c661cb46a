"""HandlerSpec: one handler of an actor class, read from its method and checked.

Every mistake is a TypeError when the class is defined, never a surprise when the message comes.
"""

from __future__ import annotations

import collections.abc
import inspect
import math
import typing
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, get_args, get_origin

import msgspec

from ..messages.difference import changed, is_walked
from ..messages.errors import ReplyError
from ..messages.message import ENCODER, Message, Request, request_reply_type
from ..messages.types import fits, is_deeply_immutable, shown, union_members, unstorable

__all__ = (
    "EXAMPLE",
    "MARK",
    "HandlerMark",
    "HandlerSpec",
    "Handlers",
    "fallback_spec",
    "read_handler",
    "resolved_hints",
)

MARK = "__greenroom_handler__"
EXAMPLE = "`@handler` over `async def deposit(self, message: Deposit) -> None`"

_SCALARS: frozenset[type] = frozenset((bool, bytes, float, int, str, type(None)))


class HandlerMark:
    """The mark that `@handler` leaves on a method."""

    __slots__ = ("external",)

    def __init__(self, *, external: bool = False) -> None:
        self.external = external


class Handlers(dict[type[Message], "HandlerSpec | None"]):
    """Handlers by message type. A class without one has that of its nearest base; None if there is none."""

    def __missing__(self, message_type: type[Message]) -> HandlerSpec | None:
        found = next((self[base] for base in message_type.__mro__[1:] if base in self), None)
        self[message_type] = found
        return found


class HandlerSpec:
    """The way in which one type of message is handled. It is read on the hot path."""

    __slots__ = (
        "_as_is",
        "_decoder",
        "_walked",
        "external",
        "function",
        "is_async",
        "is_batch",
        "is_plain",
        "is_request",
        "keeps_runner",
        "message_type",
        "name",
        "reply_type",
    )

    def __init__(
        self, function: Callable[..., Any], message_type: type[Message], reply_type: Any, *, is_async: bool,
        is_batch: bool = False, external: bool = False,
        keeps_runner: Callable[[Any], Awaitable[str]] | None = None,
    ) -> None:  # fmt: skip
        self.function = function
        """Call it as `function(actor, message)`; with a list of messages if `is_batch`."""
        self.name = function.__name__
        self.message_type = message_type
        self.is_request = issubclass(message_type, Request)
        self.reply_type = reply_type
        """The type of the reply that the request promises; None for a message without a reply."""
        self.is_async = is_async
        """Whether the result is to be awaited. If not, it is there after the call."""
        self.is_batch = is_batch
        self.is_plain = not (is_async or is_batch or external or keeps_runner)
        """Whether a call is all there is to do."""
        self.external = external
        """Whether the turn is settled before the handler begins."""
        self.keeps_runner = keeps_runner
        """Called with the cell after the turn; the runner stays with the cell until it returns. None:
        the runner goes on."""
        self._as_is: frozenset[type] | None = None
        self._decoder: msgspec.json.Decoder[Any] | None = None
        self._walked = False

    def passes(self, result: Any) -> bool:
        """Whether a reply may be handed on as it is, because it is of exactly a promised type and deeply immutable."""
        allowed = self._as_is
        if allowed is None:
            allowed = self._as_is = _shareable(self.reply_type)
        kind = type(result)
        # JSON has no NaN and no infinity.
        return kind in allowed and (kind is not float or math.isfinite(result))

    def encode_reply(self, result: Any) -> bytes:
        """The reply as JSON.

        Raises:
            ReplyError: JSON can't carry it.
        """
        try:
            return ENCODER.encode(result)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise ReplyError(self.name, self.message_type.__name__, str(error)) from error

    def decode_reply(self, body: bytes) -> Any:
        """The reply from JSON, as the type that the request promises.

        Raises:
            ReplyError: it doesn't fit.
        """
        decoder = self._decoder
        if decoder is None:
            self._walked = is_walked(self.reply_type)
            decoder = self._decoder = msgspec.json.Decoder(self.reply_type)
        try:
            return decoder.decode(body)
        except msgspec.DecodeError as error:  # a ValidationError is one
            raise ReplyError(self.name, self.message_type.__name__, str(error)) from error

    def reply(self, result: Any) -> Any:
        """The reply to hand to an asker inside the node: the result itself if it `passes`, else a checked copy.

        Raises:
            ReplyError: it doesn't fit the request, JSON can't carry it, or the copy would be another value.
        """
        return result if self.passes(result) else self.encoded(result)[1]

    def encoded(self, result: Any) -> tuple[bytes, Any]:
        """The reply as JSON, and the reply that this is.

        Raises:
            ReplyError: as for `reply`.
        """
        body = self.encode_reply(result)
        copy = self.decode_reply(body)
        difference = changed(result, copy, walked=self._walked, root="reply")
        if difference is not None:
            raise ReplyError(self.name, self.message_type.__name__, str(difference), difference.remedy)
        return body, copy

    def __repr__(self) -> str:
        return f"<handler {self.name}({shown(self.message_type)}) -> {shown(self.reply_type)}>"


def _shareable(reply_type: Any) -> frozenset[type]:
    found: set[type] = set()
    for member in union_members(reply_type):
        if member is Any or member is object:
            found |= _SCALARS - {bytes}  # JSON doesn't say of a string that it was bytes
        elif isinstance(member, type) and (
            member in _SCALARS or (issubclass(member, msgspec.Struct) and is_deeply_immutable(member))
        ):
            found.add(member)
    return frozenset(found) if not _constrained(reply_type) else frozenset()


def _constrained(kind: Any) -> bool:
    """Whether an `Annotated[..., Meta(...)]` in it asks for more than the type."""
    return bool(getattr(kind, "__metadata__", ())) or any(_constrained(one) for one in get_args(kind))


def read_handler(
    cls: type,
    name: str,
    function: Callable[..., Any],
    mark: HandlerMark,
    inherited: HandlerSpec | None = None,
) -> HandlerSpec:
    """Read a marked method of an actor class; `inherited` is the handler it overrides without saying more.

    Raises:
        TypeError: it can't be a handler. The text says why, and what to write.
    """

    def wrong(what: str, remedy: str) -> NoReturn:
        raise TypeError(f"{cls.__qualname__}.{name}: {what}. {remedy}")

    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        wrong(
            "a handler can't be a generator",
            "Return the reply, and send what comes later as messages of its own",
        )
    parameters = list(inspect.signature(function).parameters.values())
    if len(parameters) != 2 or any(p.kind not in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters):
        found = ", ".join(str(parameter) for parameter in parameters)
        wrong(f"a handler takes self and one message, this one takes ({found})", f"Write {EXAMPLE}")
    hints = resolved_hints(cls, name, function)
    returned = hints.pop("return", inspect.Parameter.empty)
    annotation: Any = hints.get(parameters[1].name)
    if annotation is None:
        if inherited is None:
            wrong(
                f"its parameter {parameters[1].name!r} has no annotation",
                f"Name the message's type: {EXAMPLE}",
            )
        return _override(cls, name, function, returned, inherited)
    is_batch = get_origin(annotation) in (list, collections.abc.Sequence) or annotation is list
    kind = (get_args(annotation) or (Any,))[0] if is_batch else annotation
    message_type: Any = get_origin(kind) or kind
    if not isinstance(message_type, type) or not issubclass(message_type, Message):
        remedy = f"Annotate it with a Message class or list[...] of one: {EXAMPLE}"
        if len(union_members(kind)) > 1:
            remedy = "Write one handler for each type, one for a common base class, or override `receive`"
        wrong(f"{shown(annotation)} is no message type", remedy)
    if message_type in (Message, Request):
        wrong(
            f"{shown(annotation)} is the base of all",
            "Name a class of your own, or override `receive` to take any message",
        )
    if is_batch and issubclass(message_type, Request):
        wrong(
            f"{shown(annotation)} is a batch of requests, and a batch has no reply",
            f"Take one {message_type.__name__} at a time",
        )
    _check_fields(message_type, wrong)
    reply_type = _reply_type(kind, message_type, wrong)
    _check_return(returned, reply_type, message_type, wrong)
    return HandlerSpec(
        function,
        message_type,
        reply_type,
        is_async=_is_async(function, returned),
        is_batch=is_batch,
        external=mark.external,
    )


def fallback_spec(receive: Callable[..., Any], message_type: type[Message]) -> HandlerSpec:
    """The way in which `receive` handles a type that no handler takes."""
    is_request = issubclass(message_type, Request)
    reply_type = request_reply_type(message_type) if is_request else None
    return HandlerSpec(receive, message_type, reply_type, is_async=_is_async(receive, None))


def resolved_hints(cls: type, name: str, function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a method.

    Raises:
        TypeError: one of them names nothing that can be found when the class is defined.
    """
    own = {cls.__name__: cls}
    try:
        try:
            return typing.get_type_hints(function, localns=own, include_extras=True)
        except NameError:  # perhaps a class that is nested in the actor's own body
            return typing.get_type_hints(function, localns={**vars(cls), **own}, include_extras=True)
    except (NameError, AttributeError) as error:
        raise TypeError(
            f"{cls.__qualname__}.{name}: its annotations can't be resolved ({error}). Either the message "
            "class is local to a function: define it at the top of the module; or it is imported under "
            "`if TYPE_CHECKING:` only: import it in earnest"
        ) from error


def _override(cls: type, name: str, function: Callable[..., Any], returned: Any, inherited: HandlerSpec) -> HandlerSpec:
    """A redefined method without annotations handles the type that the overridden one handled."""

    def wrong(what: str, remedy: str) -> NoReturn:
        raise TypeError(f"{cls.__qualname__}.{name}: {what}. {remedy}")

    _check_return(returned, inherited.reply_type, inherited.message_type, wrong)
    return HandlerSpec(
        function, inherited.message_type, inherited.reply_type, is_async=_is_async(function, returned),
        is_batch=inherited.is_batch, external=inherited.external,
    )  # fmt: skip


def _is_async(function: Callable[..., Any], returned: Any) -> bool:
    if inspect.iscoroutinefunction(inspect.unwrap(function)):
        return True
    origin = get_origin(returned) or returned
    return isinstance(origin, type) and issubclass(origin, collections.abc.Awaitable)


def _check_fields(message_type: type[Message], wrong: Callable[[str, str], NoReturn]) -> None:
    try:
        why = unstorable(message_type)
    except NameError:
        return  # a field's type may be defined further down; the first message will tell
    if why:
        wrong(
            f"{message_type.__name__} can't be stored: {why}",
            "Use types that msgspec knows (docs: supported types)",
        )


def _reply_type(kind: Any, message_type: type, wrong: Callable[[str, str], NoReturn]) -> Any:
    if not issubclass(message_type, Request):
        return None
    try:
        reply_type = request_reply_type(kind)
        why = unstorable(reply_type)
    except (NameError, AttributeError) as error:
        wrong(
            f"the reply type of {message_type.__name__} can't be resolved ({error})",
            "Define it at the top of the module, before this class, and import it in earnest, "
            "not under `if TYPE_CHECKING:`",
        )
    if why:
        wrong(f"the reply of {message_type.__name__} can't be sent: {why}", "Promise a type that msgspec knows")
    return reply_type


def _check_return(returned: Any, reply_type: Any, message_type: type, wrong: Callable[[str, str], NoReturn]) -> None:
    if returned is inspect.Parameter.empty or not issubclass(message_type, Request):
        return
    if get_origin(returned) in (collections.abc.Awaitable, collections.abc.Coroutine):
        returned = get_args(returned)[-1]
    if not fits(returned, reply_type):
        wrong(
            f"it returns {shown(returned)}, but {message_type.__name__} is a Request[{shown(reply_type)}]",
            f"Write `-> {shown(reply_type)}`, or change the request to `Request[{shown(returned)}]`",
        )
