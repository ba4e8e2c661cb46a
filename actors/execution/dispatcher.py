"""Dispatcher: the pool of tasks that drives the cells which have something to do.

An idle cell owns no task. A runner takes a cell from the ready queue and handles its messages one turn after another;
when a handler really suspends, the runner waits inside it and another one goes on with the queue.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Coroutine, Generator
from contextvars import copy_context
from typing import Any, TypeVar

from ...persistence.runtime import failure_of
from ..kernel.cell import UP, Cell
from ..kernel.current import current_turn
from ..kernel.kernel import Kernel
from ..kernel.turn import Turn
from .executor import GO_ON, LET_GO, SET_ASIDE, Executor
from .exits import Exits
from .fair_share import HOG_S
from .fast_path import run_durable, run_light
from .user_code.scopes import leave_scopes
from .user_code.stepping import breathe, rest
from .user_code.user_task import UserTask, interrupt, spawn

__all__ = ("Dispatcher",)

T = TypeVar("T")

HELD_S = 0.001
"""Seconds for which the loop is left alone while a turn holds a user transaction, because its SQL makes many short
trips to a thread and back."""
QUANTUM = 64
"""Messages of one cell in a row before another cell gets its turn."""
BREATH = 256
"""Turns in a row before the loop gets its turn."""
BREATH_S = 0.005
"""Seconds before the loop gets its turn, because handlers may be slow, and commits, timers and the watchdog's
heartbeat need the loop."""
BREATH_WANTED_S = 0.001
"""The value of `BREATH_S` while a commit is wanted, because an actor that always has something to do mustn't keep
all others waiting."""
STRIDE = 32
"""Light turns in a row without a look at the clock, while such a row takes less than `STRIDE_S` seconds."""
STRIDE_S = 0.001
PARKED_MAX = 8
"""The number of idle runners that are kept."""
CLOSE_S = 1.0
"""Seconds that runners may take to end after their cancellation, at the stop of the node."""


class Dispatcher:
    """The ready queue and the runners of one node."""

    def __init__(self, kernel: Kernel, exits: Exits) -> None:
        self._kernel = kernel
        self._exits = exits
        self.executor = Executor(kernel, self, exits)
        self.ready: deque[Cell] = deque()
        self.resting = 0
        """The number of runners that a handler keeps, and that have nothing to do. They don't keep the
        node from being idle."""
        self.closed = False
        self._set_aside: dict[Cell, None] = {}
        """Cells at whose heads suspects wait for others (recovery/trial.py)."""
        self._awake = 0
        """The number of runners that are taking cells, or are about to."""
        self._parked: list[asyncio.Future[None]] = []
        self._tasks: dict[asyncio.Task[None], None] = {}
        """The runners' tasks, in order, because a simulation has to repeat everything."""
        self._left_behind: set[asyncio.Task[Any] | None] = set()
        """Runners stuck in handlers that swallowed their cancellation."""
        self._slots = list(range(kernel.attempts.slots - 1, -1, -1))

    @property
    def busy(self) -> bool:
        """Whether any cell is ready or set aside, or any runner is neither parked nor kept."""
        idle = len(self._parked) + len(self._left_behind) + self.resting
        return bool(self.ready or self._set_aside) or len(self._tasks) > idle

    @property
    def waiting(self) -> bool:
        """Whether any cell waits for a runner."""
        return bool(self.ready)

    def ready_cell(self, cell: Cell) -> None:
        """Take a cell up. The caller has set its `queued`."""
        self.ready.append(cell)
        if not self._awake:
            self._wake_one()

    def _wake_one(self) -> None:
        while self._parked and self._parked[-1].done():
            self._parked.pop()  # its runner was cancelled, and is about to go
        if self._parked:
            self._awake += 1
            self._parked.pop().set_result(None)
        elif self._slots and not self.closed:
            self._awake += 1
            slot = self._slots.pop()
            context = copy_context()
            context.run(current_turn.set, None)  # a runner is no part of the turn whose tell has woken it
            task = spawn(self._kernel, self._run(slot), f"greenroom runner {slot}", context)
            self._tasks[task] = None
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        self._left_behind.discard(task)
        if (error := failure_of(task)) is not None:
            self._kernel.bug(error)
        self._kernel.maybe_idle()

    async def _run(self, slot: int) -> None:
        kernel, ready, executor = self._kernel, self.ready, self.executor
        commits, attempts = kernel.commits, kernel.attempts
        next_message, share = executor.next_message, executor.share
        turns, stride = 0, 1
        clock = kernel.runtime.perf
        breathed = stepped = clock()
        parked: asyncio.Future[None] | None = None
        cell: Cell | None = None
        lingers = False
        try:
            while not self.closed:
                if not ready:
                    if lingers:
                        # The asker that was just answered may ask again. A runner that is still here then costs half
                        # as much as one that has to be woken.
                        lingers = False
                        executor.turns += turns
                        turns = 0
                        attempts.clear(slot)
                        await breathe()
                        breathed = stepped = clock()
                        continue
                    if len(self._parked) >= PARKED_MAX:
                        return
                    self._awake -= 1
                    attempts.clear(slot)
                    executor.turns += turns
                    turns = 0
                    parked = asyncio.get_running_loop().create_future()
                    self._parked.append(parked)
                    if kernel.watched:
                        kernel.maybe_idle()
                    await parked
                    parked = None
                    breathed = stepped = clock()
                    continue
                if commits.behind:
                    attempts.clear(slot)
                    await commits.room()
                    continue
                cell = ready.popleft()
                cell.runner = slot
                lingers = True
                outcome = GO_ON
                taken = stepped
                for _ in range(QUANTUM):
                    waiting = None
                    handled = 0
                    if kernel.caution is None and cell.status is UP:
                        if not cell.durable:
                            handled = run_light(executor, cell, stride)
                        else:
                            handled = run_durable(executor, cell, slot, stride)
                        if executor.unfinished is not None:
                            waiting = executor.finish_later()
                    if not handled:
                        handled = 1
                        waiting = next_message(cell, slot)
                    turns += handled
                    now = clock()
                    held_s = now - taken
                    if waiting is not None:
                        cell.held_s = held_s
                        outcome = await self.aside(waiting)
                        if outcome is not GO_ON:
                            break
                        now = taken = clock()  # a wait doesn't count as holding the loop
                        held_s, cell.held_s = cell.held_s, 0.0
                        stride = 1
                    else:
                        stride = STRIDE if now - stepped < STRIDE_S else 1
                    if held_s >= HOG_S:
                        attempts.clear(slot)
                        await self.aside(share.give_back(cell, held_s, now))
                        now = taken = clock()
                    if cell.leaving is not None and cell.status is UP:
                        await self.aside(self._exits.leave(cell))
                        now = clock()
                    stepped = now
                    if (
                        not cell.mailbox.count
                        or now - breathed >= (BREATH_WANTED_S if commits.wanted else BREATH_S)
                        or cell.status is not UP
                        or cell.held_by is not None
                    ):
                        break
                if cell.runner == slot:
                    self._let_go(cell, outcome)
                cell = None
                if turns >= BREATH or stepped - breathed >= (BREATH_WANTED_S if commits.wanted else BREATH_S):
                    executor.turns += turns
                    turns = 0
                    attempts.clear(slot)
                    await (kernel.runtime.sleep(HELD_S) if kernel.committer.held else breathe())
                    breathed = stepped = clock()
        except GeneratorExit:
            # The loop was closed under the node, and this coroutine is garbage. Another loop may run by now.
            self.closed = True
            self._parked.clear()
            cell = None  # its asker can't be answered any more
            raise
        finally:
            # The pool must not notice how the task ended: by the stop, or by a handler that cancels its own task.
            if kernel.cut_short:
                self.closed = True  # the loop ends: nothing would end a runner that takes the place of this one
            if parked is not None and parked in self._parked:
                self._parked.remove(parked)
            else:
                self._awake -= 1
            attempts.clear(slot)
            self._slots.append(slot)
            if cell is not None and cell.runner == slot:
                if cell.turn is not None and cell.turn.task is None:
                    cell.turn.discard()  # its finish raised, which is a bug: the node ends, and waits for no such turn
                self._let_go(cell, LET_GO)
            if ready and not self._awake:
                self._wake_one()

    def _let_go(self, cell: Cell, outcome: str) -> None:
        cell.runner = -1
        if cell.on_demand:
            cell.last_used = self._kernel.runtime.monotonic()
            life = cell.incarnation
            if not cell.mailbox.count and life is not None and life.context.get(current_turn) is not life:
                # There may be thousands of such actors. None is to keep its last turn alive, and so its last message.
                life.context.run(current_turn.set, life)
        if cell.quiet is not None:
            cell.now_quiet()
        if outcome is SET_ASIDE:
            self._set_aside[cell] = None
            return
        cell.queued = False
        if cell.mailbox.count:
            cell.wake()

    # -- waiting -------------------------------------------------------------------------------------------

    async def aside(self, coro: Coroutine[Any, Any, T] | Generator[Any, Any, T]) -> T:
        """Await something. If that really suspends, another runner has the queue meanwhile."""
        try:
            yielded = coro.send(None)
        except StopIteration as stop:
            result: T = stop.value
            return result
        self._awake -= 1
        if self.ready and not self._awake:
            self._wake_one()
        try:
            value: T = await rest(coro, yielded)
            return value
        finally:
            self._awake += 1

    async def inside(self, turn: Turn, awaitable: Awaitable[Any]) -> Any:
        """Await inside a handler."""
        task = turn.task = asyncio.current_task()
        assert isinstance(task, UserTask)
        task.turn = turn
        if task.marked:
            task.enter()
        try:
            return await awaitable
        finally:
            turn.task = task.turn = None
            leave_scopes(task)
            if task.cancelling():
                await task.settle()
            self._left_behind.discard(task)

    def leave_behind(self, task: asyncio.Task[Any]) -> None:
        """Note that the handler in which this runner waits was abandoned: nothing waits for the runner any more."""
        if task in self._tasks:
            self._left_behind.add(task)

    # -- cells that were set aside ------------------------------------------------------------------------------

    def serve(self, cell: Cell) -> None:
        """Let a cell go on that was set aside: its suspect may run now, or something may pass it."""
        if cell in self._set_aside:
            del self._set_aside[cell]
            cell.unreserve()
            cell.wake()

    def has_queued(self, cell: Cell) -> bool:
        return cell in self.ready or cell in self._set_aside

    # -- the end ----------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Empty the queue, because the tree is being reset: no cell is ready any more."""
        self.ready.clear()
        self._set_aside.clear()

    async def close(self) -> None:
        """End the runners. Those that hang in a handler are cancelled, and left behind if they swallow it."""
        self.closed = True
        parked, self._parked = self._parked, []
        for future in parked:
            if not future.done():
                future.set_result(None)
        tasks = list(self._tasks)
        for task in tasks:
            if task is not asyncio.current_task():
                interrupt(task)
        await self._kernel.runtime.wait([task for task in tasks if task is not asyncio.current_task()], CLOSE_S)
