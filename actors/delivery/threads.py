"""FromThread: tells and asks from threads, such as those in which web frameworks run sync endpoints.

A call is handed over to the node's loop, and the thread waits for its end. It is a call from outside: if a handler has
started the thread, the call is no part of the handler's turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from contextvars import copy_context
from functools import partial
from typing import Any, Protocol, TypeVar

from ..kernel.current import current_turn
from ..kernel.errors import SystemStopped
from ..messages.message import Message, Request
from .receipt import Receipt
from .tell import Delivery

__all__ = ("FromThread",)

R = TypeVar("R")

LOOK_S = 0.25
"""Seconds between two looks whether the node's loop still runs."""
LOOKS = 4
"""A loop that is seen standing so many times in a row has ended."""


class Ref(Protocol):
    """The reference on which the calls are made."""

    address: str

    def tell(self, message: Message, *, key: str | None, delay_s: float | None, priority: int) -> Receipt: ...

    def ask(self, request: Request[R], *, timeout_s: float) -> Coroutine[Any, Any, R]: ...


class FromThread:
    """`ref.from_thread`: the same actor, for callers in threads. It is cheap, and any thread may use it."""

    __slots__ = ("_delivery", "_home", "_ref")

    def __init__(self, ref: Ref, delivery: Delivery) -> None:
        self._ref = ref
        self._delivery = delivery
        self._home = delivery.home

    def tell(
        self, message: Message, *, key: str | None = None, delay_s: float | None = None, priority: int = 0
    ) -> None:
        """Send a message, and block this thread until it is on disk.

        Arguments and errors are those of `ref.tell` and its receipt.

        Raises:
            SystemStopped: the node has stopped, or stops before the message is on disk.
            WrongThread: called on the node's own event loop, which would wait for itself; or in a forked child.
        """

        self._home.check_apart("from_thread.tell()")
        on_disk: Future[None] = Future()

        def tell() -> None:
            receipt = self._ref.tell(message, key=key, delay_s=delay_s, priority=priority)
            receipt.when_on_disk(partial(_settle, on_disk))

        self._wait_for(on_disk, tell, message)

    def ask(self, request: Request[R], *, timeout_s: float = 5.0) -> R:
        """Send a request, and block this thread until its reply is there, and everything that it rests on is on disk.

        Arguments and errors are those of `ref.ask`.

        Raises:
            SystemStopped: the node has stopped, or stops before the reply.
            WrongThread: called on the node's own event loop, which would wait for itself; or in a forked child.
        """
        self._home.check_apart("from_thread.ask()")
        reply: Future[R] = Future()

        async def asked() -> None:
            try:
                _settle(reply, None, await self._ref.ask(request, timeout_s=timeout_s))
            except Exception as error:
                _settle(reply, error)

        def over(_: asyncio.Task[Any]) -> None:
            # By the stop of the node, or the end of the loop; maybe before the task's first step.
            _settle(reply, SystemStopped(self._ref.address, request))

        def ask() -> None:
            name = f"greenroom ask from a thread to {self._ref.address}"
            self._delivery.kernel.background(asked(), name).add_done_callback(over)

        return self._wait_for(reply, ask, request)

    def _wait_for(self, outcome: Future[R], call: Callable[[], object], message: object) -> R:
        """Have a call made on the node's loop, and wait for what becomes of it."""

        def begin() -> None:
            try:
                if self._delivery.kernel.over:
                    raise SystemStopped(self._ref.address, message)
                call()
            except Exception as error:
                _settle(outcome, error)

        loop = self._home.event_loop
        context = copy_context()
        context.run(current_turn.set, None)
        try:
            loop.call_soon_threadsafe(begin, context=context)
        except RuntimeError:  # the loop is closed
            raise SystemStopped(self._ref.address, message) from None
        stood = 0
        while not wait((outcome,), LOOK_S).done:
            stood = 0 if loop.is_running() else stood + 1
            if stood >= LOOKS:  # it has ended, and took the call with it
                raise SystemStopped(self._ref.address, message)
        return outcome.result()


def _settle(outcome: Future[Any], error: BaseException | None, result: Any = None) -> None:
    if outcome.done():
        return
    if error is None:
        outcome.set_result(result)
    else:
        outcome.set_exception(error)
