"""Trace: the turns of one address, to be read as they end."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Literal

import msgspec

__all__ = ("Outcome", "Trace", "TracedTurn")

Outcome = Literal["finished", "failed", "retried", "rejected", "discarded"]


class TracedTurn(msgspec.Struct, frozen=True, kw_only=True):
    """One turn, when it had ended. Only committed turns are told of, and failed ones, which are told of at once."""

    address: str
    incarnation: int
    began: float
    """The time when it began, in epoch seconds."""
    type: str
    """The stored name of its message; "on_start" or "on_stop" of a turn without one."""
    uid: str
    sender: str
    """The address of the message's sender; "" if it came from outside."""
    attempt: int
    """The number of the attempt at the message, from 1."""
    messages: int
    """The number of messages that it handled: one, but for batch handlers."""
    outcome: Outcome
    """"finished"; "retried": it failed, and the message comes again; "rejected": the message is a dead letter at once,
    or its asker was refused; "failed": any other failure; "discarded": it was cut off by a stop, or fenced off."""
    error: str
    """The exception that it raised, as text; "" if none."""
    duration_ms: float
    """The time that it took, in milliseconds, waits inside the handler included."""
    sends: int
    state_changed: bool | None
    """Whether it changed the state. None if that isn't known: an actor without rows (`durable = False`) isn't asked."""
    mailbox: int
    """The number of messages that waited when it had ended."""


class Trace:
    """The turns of one address, of whichever incarnation, to be iterated over. It ends when the block is
    left, or the node ends."""

    def __init__(self, address: str, waiting_max: int) -> None:
        self.address = address
        self.dropped = 0
        """The number of turns that were lost because the reader lay behind."""
        self._waiting_max = waiting_max
        self._turns: deque[TracedTurn] = deque()
        self._closed = False
        self._more: asyncio.Future[None] | None = None

    def __aiter__(self) -> Trace:
        return self

    async def __anext__(self) -> TracedTurn:
        while not self._turns:
            if self._closed:
                raise StopAsyncIteration
            if self._more is None:
                self._more = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._more)  # others may wait for it, too
        return self._turns.popleft()

    @property
    def waiting(self) -> int:
        """The number of turns that haven't been read."""
        return len(self._turns)

    def take(self, limit: int | None = None) -> list[TracedTurn]:
        """The turns that haven't been read, without waiting: all of them, or the first so many."""
        count = len(self._turns) if limit is None else min(limit, len(self._turns))
        return [self._turns.popleft() for _ in range(count)]

    def put(self, turn: TracedTurn) -> None:
        if len(self._turns) >= self._waiting_max:
            self._turns.popleft()
            self.dropped += 1
        self._turns.append(turn)
        self._wake()

    def close(self) -> None:
        """Let nothing more come. Turns that are there can still be read."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        more, self._more = self._more, None
        if more is not None and not more.done():
            more.set_result(None)
