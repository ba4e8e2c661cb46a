"""Asks: requests whose senders wait (docs/semantics/ask.md)."""

from __future__ import annotations

import asyncio
from threading import get_ident
from typing import Any, Protocol

from ...persistence.home import Home
from ..kernel.cell import DOWN, GONE, PASSIVE, STARTING, UP, Cell
from ..kernel.current import current_turn, turn_of
from ..kernel.errors import SystemStopped
from ..kernel.hooks import Extension
from ..kernel.kernel import Kernel
from ..kernel.turn import Turn
from ..mailbox.envelope import Ask
from ..messages.codec import is_shared, round_trip
from ..messages.message import Request, SystemRequest, tag_of
from .ask_line import AskLine
from .deadlines import Deadlines
from .errors import AskAfterTell, AskCycle, AskTimeout
from .guard import AHEAD_S_MAX, check_request, checked_timeout

__all__ = ("Asks",)


class Addressed(Protocol):
    """A reference, which finds the cell of its address when it is used."""

    def cell(self) -> Cell: ...


class Asks(Extension):
    """The asks of one node that wait for replies."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._home = kernel.part(Home)
        self._lines: dict[Cell, AskLine] = {}
        """Asks that wait for room, by the cell whose mailbox is full."""
        self._deadlines: Deadlines[Ask] = Deadlines(kernel.runtime, _expire)

    async def ask(self, target: Addressed | Cell, request: Request[Any], timeout_s: float, uid: str = "") -> Any:
        """
        Args:
            timeout_s: seconds above 0.
            uid: the request's, if it has one already.
        """
        kernel, here = self._kernel, current_turn.get()
        turn = None if here is None else turn_of(here)
        if self._home.loop._thread_id != get_ident():
            raise self._home.stranger("ask()")
        if not isinstance(request, Request):
            check_request(request)
        if type(timeout_s) is not float or not 0.0 < timeout_s <= AHEAD_S_MAX:
            timeout_s = checked_timeout(timeout_s)
        if turn is not None and turn.cell.kernel is not kernel:
            turn = None
        cell = target if isinstance(target, Cell) else target.cell()
        if kernel.over or kernel.commits.failure is not None:
            self._check_running(cell, turn, request)
        elif cell.status is not UP and (error := cell.unreachable(request)) is not None:
            raise error
        if turn is not None:
            turn.check_open()
            self._check_order(turn, cell)
        cls = type(request)
        body = None
        vouch = cls.__shared__
        if vouch is None or not vouch(request):
            body, copy = round_trip(cell.address, request)
            assert isinstance(copy, Request)
            request = copy
            if is_shared(cls):
                body = None
        future: asyncio.Future[tuple[Any, int]] = asyncio.Future()
        if turn is not None:
            uid = turn.next_uid()
        elif cell.durable and not uid:
            uid = kernel.next_uid()
        ask = Ask(cell.address, uid, request, tag_of(cls), body, future=future, timeout_s=timeout_s)
        bucket = self._deadlines.add(ask, timeout_s)
        try:
            if turn is not None:
                return await self._from_inside(cell, ask, turn)
            if cell.mailbox.count >= cell.options.capacity or cell in self._lines:
                cell = await self._in_line(cell, ask)
            if not future.done():
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

    async def _in_line(self, cell: Cell, ask: Ask) -> Cell:
        """Wait in line for room, because the mailbox is full; as long as the ask may take. System requests don't wait.

        Returns:
            The cell that has the address now.

        Raises:
            MailboxFull; ActorNotFound, SystemStopped, StoreError: what the actor's stop meanwhile means.
        """
        if isinstance(ask.message, SystemRequest):
            return cell
        line = self._lines.get(cell)
        if line is None:
            line = self._lines[cell] = AskLine(self._kernel.router, cell, self._line_over)
        await line.wait(ask)
        if not ask.future.done():
            if self._kernel.over or self._kernel.commits.failure is not None:
                self._check_running(cell, None, ask.message)
            if cell.status is GONE:
                cell = self._kernel.router.resolve(cell.address)
            if cell.status is not UP and (error := cell.unreachable(ask.message)) is not None:
                raise error
        return cell

    def _check_running(self, cell: Cell, turn: Turn | None, request: object) -> None:
        """While the node stops, a handler that may still end may ask an actor that is still up, or may be started.

        Raises:
            SystemStopped, StoreError: nothing can be asked at the moment.
        """
        kernel = self._kernel
        if kernel.commits.failure is not None:
            raise kernel.commits.failure
        if turn is None or not kernel.closing or kernel.gave_up is not None:
            raise SystemStopped(cell.address, request, kernel.gave_up)
        if cell.status in (UP, STARTING) or (cell.status is PASSIVE and cell.may_start()):
            return
        raise SystemStopped(cell.address, request, kernel.gave_up)

    def _line_over(self, cell: Cell) -> None:
        self._lines.pop(cell, None)

    def close_lines(self) -> None:
        """Refuse the asks that wait in line, because the node stops."""
        for line in list(self._lines.values()):
            line.close()

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
