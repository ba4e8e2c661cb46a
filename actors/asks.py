"""Asks: requests whose senders wait (docs/runtime-semantics.md, section 8)."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from ..persistence.errors import StoreError
from .dispatch import round_trip
from .envelope import Ask
from .errors import ActorNotFound, AskAfterTell, AskCycle, AskTimeout, MailboxFull, NotAMessage
from .message import Request, tag_of
from .status import GONE, STOPPED
from .turn import Turn, current_turn
from .types import is_deeply_immutable

if TYPE_CHECKING:
    from .cell import Cell
    from .system import ActorSystem

__all__ = ("Asks",)


class Asks:
    def __init__(self, system: ActorSystem) -> None:
        self._system = system

    async def ask(self, cell: Cell, request: Request[Any], timeout_s: float) -> Any:
        turn = current_turn.get()
        if not isinstance(request, Request):
            raise NotAMessage(request)
        if turn is not None:
            turn.check_open()
            self._check_order(turn, cell)
        self._system.check_running()
        if cell.status is STOPPED or cell.status is GONE:
            raise ActorNotFound(cell.address, f"it is {cell.status}")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[Any, int]] = loop.create_future()
        ask = self._envelope(cell, request, future, turn)
        timer = self._system.runtime.call_later(timeout_s, _expire, future, cell.address, request, timeout_s)
        if turn is None:
            try:
                if cell.mailbox.count >= cell.options.capacity:
                    await self._room(cell, request, future)
                cell.push(ask)
                return (await future)[0]
            finally:
                timer.cancel()
        asker = turn.cell
        if asker.asking is None:
            asker.asking = []
        asker.asking.append(cell)
        if turn.after > ask.after:
            ask.after = turn.after
        try:
            cell.push(ask)
            if self._system.runners.solo:
                self._system.runners.serve_ask(cell)
            result, after = await future
        finally:
            timer.cancel()
            asker.asking.remove(cell)
        if after > turn.after:
            turn.after = after
        return result

    def _envelope(
        self, cell: Cell, request: Request[Any], future: asyncio.Future[Any], turn: Turn | None
    ) -> Ask:
        cls = type(request)
        body = None
        if not (cls.__immutable__ or is_deeply_immutable(cls)):
            body, copy = round_trip(cell.address, request)
            assert isinstance(copy, Request)
            request = copy
        uid = self._system.next_uid() if turn is None else turn.next_uid()
        return Ask(cell.address, uid, request, tag_of(cls), body, future, None if turn is None else turn.cell)

    def _check_order(self, turn: Turn, cell: Cell) -> None:
        if turn.held is not None:
            raise RuntimeError(
                "ask() inside transaction(): the write slot isn't held over a wait for another actor"
            )
        if turn.has_told(cell):
            raise AskAfterTell(cell.address)
        path = _path(cell, turn.cell)
        if path is not None:
            raise AskCycle((turn.cell.address, *path))

    async def _room(self, cell: Cell, request: Request[Any], future: asyncio.Future[Any]) -> None:
        """A full mailbox: wait in line for room, as long as the ask may take."""
        if cell.options.overflow == "reject":
            raise MailboxFull(cell.address, cell.options.capacity, request)
        while cell.mailbox.count >= cell.options.capacity and not future.done():
            room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._system.when_room(cell, partial(_let_in, room))
            await asyncio.wait((room, future), return_when=asyncio.FIRST_COMPLETED)

    def answer(self, ask: Ask, result: Any, after: int) -> None:
        """Hand the reply over: at once inside the node, after the commit it rests on to the outside."""
        future = ask.future
        if future.done():
            return
        committer = self._system.committer
        if ask.asker is not None or after <= committer.committed:
            future.set_result((result, after))
            return

        def gate(error: StoreError | None) -> None:
            if not future.done():
                if error is None:
                    future.set_result((result, after))
                else:
                    future.set_exception(error)

        committer.when(after, gate)


def _path(start: Cell, goal: Cell) -> tuple[str, ...] | None:
    """A way through the wait-for graph from `start` to `goal`, both ends included."""
    stack: list[tuple[Cell, tuple[str, ...]]] = [(start, (start.address,))]
    seen: set[int] = set()
    while stack:
        cell, path = stack.pop()
        if cell is goal:
            return path
        if id(cell) in seen:
            continue
        seen.add(id(cell))
        stack.extend((other, (*path, other.address)) for other in cell.asking or ())
    return None


def _expire(future: asyncio.Future[Any], address: str, request: object, timeout_s: float) -> None:
    if not future.done():
        future.set_exception(AskTimeout(address, request, timeout_s))


def _let_in(room: asyncio.Future[None]) -> None:
    if not room.done():
        room.set_result(None)
