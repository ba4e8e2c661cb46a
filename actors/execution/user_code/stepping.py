"""Stepping: running a handler's code, step by step, in its actor's own context.

A handler is driven by hand rather than as a task of its own, because then a step that doesn't really wait costs no trip
through the event loop, and the runner sees the moment at which it first suspends.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import TYPE_CHECKING, Any

from ...kernel.current import current_turn
from ...kernel.turn import Turn
from ..fair_share import HOG_S, FairShare

if TYPE_CHECKING:
    from ....persistence.store.attempts import AttemptLog

__all__ = ("Watched", "breathe", "call", "call_async", "rest", "resume", "watch")


@coroutine
def breathe() -> Generator[None, None, None]:
    """Let the loop run everything else once."""
    yield


def call(turn: Turn, function: Callable[..., Any], actor: Any, message: Any) -> Any:
    """Run a sync handler. The caller is inside the actor's context, and has noted the turn in `Kernel.stepping`."""
    if (watch := turn.incarnation.watch) is not None:
        watch(turn)
    return function(actor, message)


def call_async(turn: Turn, function: Callable[..., Any], actor: Any, message: Any) -> tuple[Any, Any]:
    """Run an async handler until it first suspends. Returns the coroutine and the object that it yielded.

    Raises:
        StopIteration: it returned without suspending; `value` is the result.
    """
    if (watch := turn.incarnation.watch) is not None:
        watch(turn)
    current_turn.set(turn)
    coro = function(actor, message)
    return coro, coro.send(None)


@coroutine
def resume(
    turn: Turn,
    coro: Any,
    yielded: Any,
    share: FairShare | None = None,
) -> Generator[Any, Any, Any]:
    """Go on with a handler that has suspended, to its end.

    Args:
        share: its steps count for its cell, so that it goes on a little later after a long one. The cell's `held_s`
            says how long the first step was, and in the end how long the last one was, in seconds.
    """
    cell, run, kernel = turn.cell, turn.incarnation.context.run, turn.cell.kernel
    clock = None if share is None else share.clock
    held_s, until = (0.0, 0.0) if clock is None else (cell.held_s, clock())
    while True:
        step: Callable[[Any], Any]
        argument: Any
        began = -1.0
        try:
            argument, step = (yield yielded), coro.send
            if share is not None:
                if held_s >= HOG_S:
                    yield from share.give_back(cell, held_s, until)
                began = share.clock()
        except GeneratorExit:
            coro.close()
            raise
        except BaseException as error:
            argument, step = error, coro.throw
        kernel.stepping = turn
        try:
            yielded = run(step, argument)
        except StopIteration as stop:
            return stop.value
        finally:
            kernel.stepping = None
            if clock is not None:
                held_s = 0.0
                if began >= 0.0:
                    until = clock()
                    held_s = until - began
                cell.held_s = held_s


@coroutine
def rest(coro: Any, yielded: Any) -> Generator[Any, Any, Any]:
    """Go on with a coroutine of the runtime's own that has suspended."""
    while True:
        step: Callable[[Any], Any]
        argument: Any
        try:
            argument, step = (yield yielded), coro.send
        except GeneratorExit:
            coro.close()
            raise
        except BaseException as error:
            argument, step = error, coro.throw
        try:
            yielded = step(argument)
        except StopIteration as stop:
            return stop.value


class Watched:
    """A coroutine under caution: the slot file says whether its code is on the loop, or waits."""

    __slots__ = ("_attempts", "_coro", "_slot")

    def __init__(self, coro: Any, attempts: AttemptLog, slot: int) -> None:
        """The coroutine waits at the moment, or is about to begin."""
        self._coro = coro
        self._attempts = attempts
        self._slot = slot
        attempts.mark(slot, False)

    def send(self, argument: Any) -> Any:
        self._attempts.mark(self._slot, True)
        try:
            return self._coro.send(argument)
        finally:
            self._attempts.mark(self._slot, False)

    def throw(self, error: BaseException) -> Any:
        self._attempts.mark(self._slot, True)
        try:
            return self._coro.throw(error)
        finally:
            self._attempts.mark(self._slot, False)

    def close(self) -> None:
        self._coro.close()


async def watch(coro: Coroutine[Any, Any, Any], attempts: AttemptLog, slot: int) -> Any:
    """Run a coroutine of the runtime's own that runs user code, such as a start, as a watched one."""
    watched = Watched(coro, attempts, slot)
    try:
        yielded = watched.send(None)
    except StopIteration as stop:
        return stop.value
    return await rest(watched, yielded)
