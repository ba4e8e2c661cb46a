"""Asks: requests whose senders wait (docs/semantics/ask.md)."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from ..kernel.cell import DOWN, PASSIVE, UP, Cell
from ..kernel.hooks import Extension
from ..kernel.kernel import Kernel
from ..kernel.turn import Turn, current_turn
from ..mailbox.envelope import Ask
from ..messages.codec import round_trip
from ..messages.errors import NotAMessage
from ..messages.message import Request, SystemRequest, tag_of
from ..messages.types import is_deeply_immutable
from .deadlines import Deadlines
from .errors import AskAfterTell, AskCycle, AskTimeout, MailboxFull

__all__ = ("Asks",)


class Asks(Extension):
    """The asks of one node that wait for replies."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._deadlines: Deadlines[Ask] = Deadlines(kernel.runtime, _expire)

    async def ask(self, cell: Cell, request: Request[Any], timeout_s: float, uid: str = "") -> Any:
        if not isinstance(request, Request):
            raise NotAMessage(request)
        kernel, turn = self._kernel, current_turn.get()
        if turn is not None and turn.cell.kernel is not kernel:
            turn = None
        if kernel.over or kernel.commits.failure is not None:
            kernel.check_running()
        if cell.status is not UP and (error := cell.unreachable(request)) is not None:
            raise error
        if turn is not None:
            turn.check_open()
            self._check_order(turn, cell)
        cls = type(request)
        body = None
        if not (cls.__immutable__ or is_deeply_immutable(cls)):
            body, copy = round_trip(cell.address, request)
            assert isinstance(copy, Request)
            request = copy
        future: asyncio.Future[tuple[Any, int]] = asyncio.Future()
        if turn is not None:
            uid = turn.next_uid()
        elif cell.durable and not uid:
            uid = kernel.next_uid()
        ask = Ask(cell.address, uid, request, tag_of(cls), body, future, timeout_s)
        bucket = self._deadlines.add(ask, timeout_s)
        try:
            if turn is not None:
                return await self._from_inside(cell, ask, turn)
            if cell.mailbox.count >= cell.options.capacity and not issubclass(cls, SystemRequest):
                await self._room(cell, ask)
            cell.push(ask)
            return (await future)[0]
        finally:
            bucket.pop(ask, None)

    async def _from_inside(self, cell: Cell, ask: Ask, turn: Turn) -> Any:
        ask.asker = turn
        asker = turn.cell
        ask.after = turn.after
        asker.waits_for(cell)
        try:
            cell.push(ask)
            if self._kernel.caution is not None:
                self._kernel.caution.serve(cell)
            result, after = await ask.future
        finally:
            asker.has_waited_for(cell)
        if after > turn.after:
            turn.after = after
        return result

    def _check_order(self, turn: Turn, cell: Cell) -> None:
        if turn.held is not None:
            raise RuntimeError("ask() inside transaction(): no transaction is held over a wait for another actor")
        if turn.has_told(cell):
            raise AskAfterTell(cell.address)
        path = _path(cell, turn.cell)
        if path is not None:
            raise AskCycle((turn.cell.address, *path))

    async def _room(self, cell: Cell, ask: Ask) -> None:
        """Wait in line for room, because the mailbox is full; as long as the ask may take."""
        if cell.options.overflow == "reject":
            raise MailboxFull(cell.address, cell.options.capacity, ask.message)
        while cell.mailbox.count >= cell.options.capacity and not ask.future.done():
            room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._kernel.router.when_room(cell, partial(_let_in, room))
            await asyncio.wait((room, ask.future), return_when=asyncio.FIRST_COMPLETED)

    def close(self) -> None:
        self._deadlines.close()


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
        stack.extend((other, (*path, other.address)) for other in _waits_for(cell))
    return None


def _waits_for(cell: Cell) -> list[Cell]:
    """The cells that it has asked. For a cell that isn't running, its supervisor, which has to start it."""
    others = list(cell.asking or ())
    if cell.supervisor is not None and cell.status in (PASSIVE, DOWN):
        others.append(cell.supervisor)
    return others


def _expire(ask: Ask) -> None:
    ask.refuse(AskTimeout(ask.address, ask.message, ask.timeout_s))


def _let_in(room: asyncio.Future[None]) -> None:
    if not room.done():
        room.set_result(None)
