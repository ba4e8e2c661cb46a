"""Trace: the turns of one address, to be read as they end."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Literal

import msgspec

__all__ = ("Outcome", "Trace", "TracedTurn")

Outcome = Literal["finished", "failed", "retried", "rejected", "discarded"]


class TracedTurn(msgspec.Struct, frozen=True, kw_only=True):
    """One turn, when it had ended. Committed turns only, but for those that failed: these are told of at once."""

    address: str
    incarnation: int
    began: float
    """When it began, in epoch seconds."""
    type: str
    """The stored name of what it handled; "on_start" or "on_stop" of a turn without a message."""
    uid: str
    sender: str
    """Whose message it was; "" if it came from outside."""
    attempt: int
    """Which attempt at the message it was, from 1."""
    messages: int
    """How many it handled: one, but for batch handlers."""
    outcome: Outcome
    """"finished"; "retried": it failed, and the message comes again; "rejected": the message is a dead letter at once,
    or its asker was refused; "failed": any other failure; "discarded": it was cut off by a stop, or fenced off."""
    error: str
    """What it raised; "" if nothing."""
    duration_ms: float
    """Waits inside the handler included."""
    sends: int
    state_changed: bool | None
    """None if nobody knows: an actor without rows (`durable = False`) isn't asked."""
    mailbox: int
    """Messages that waited when it had ended."""


class Trace:
    """The turns of one address, whichever incarnation's, to be iterated over. It ends when it is left, or the node
    ends."""

    def __init__(self, address: str, waiting_max: int) -> None:
        self.address = address
        self.dropped = 0
        """Turns that were lost because nobody read."""
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
        """Turns that haven't been read."""
        return len(self._turns)

    def take(self, limit: int | None = None) -> list[TracedTurn]:
        """What hasn't been read, without waiting: all of it, or the first so many."""
        count = len(self._turns) if limit is None else min(limit, len(self._turns))
        return [self._turns.popleft() for _ in range(count)]

    def put(self, turn: TracedTurn) -> None:
        if len(self._turns) >= self._waiting_max:
            self._turns.popleft()
            self.dropped += 1
        self._turns.append(turn)
        self._wake()

    def close(self) -> None:
        """Nothing more comes. What is there can still be read."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        more, self._more = self._more, None
        if more is not None and not more.done():
            more.set_result(None)
