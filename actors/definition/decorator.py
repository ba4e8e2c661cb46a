"""`@handler`: declares a method the handler of a message type."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, overload

from ..messages.message import Message
from ..messages.types import shown
from .handlers import EXAMPLE, MARK, HandlerMark

__all__ = ("handler",)

A = TypeVar("A")
M = TypeVar("M", bound=Message)
T = TypeVar("T")


class _Decorator(Protocol):
    @overload
    def __call__(self, function: Callable[[A, M], T], /) -> Callable[[A, M], T]: ...
    @overload
    def __call__(self, function: Callable[[A, list[M]], T], /) -> Callable[[A, list[M]], T]: ...


@overload
def handler(function: Callable[[A, M], T], /) -> Callable[[A, M], T]: ...
@overload
def handler(function: Callable[[A, list[M]], T], /) -> Callable[[A, list[M]], T]: ...
@overload
def handler(*, external: bool = False) -> _Decorator: ...
def handler(function: Any = None, /, *, external: bool = False) -> Any:
    """Declare a method the handler of the message type that its parameter is annotated with.

    The method may be sync or async. `message: list[Tick]` takes several waiting messages at once. The
    result of a `Request`'s handler is the reply.

    Args:
        external: the handler acts on the outside world. It starts only when everything its turn rests on is committed,
            as if it began with `await self.turn.settled()`.

    Raises:
        TypeError: when the class is defined, if the method can't be a handler.
    """

    def mark(function: Any) -> Any:
        if not inspect.isfunction(function):
            raise TypeError(f"@handler over {shown(type(function))}: it goes over a method. Write {EXAMPLE}")
        vars(function)[MARK] = HandlerMark(external=external)
        return function

    return mark if function is None else mark(function)
