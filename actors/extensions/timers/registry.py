"""Registry: the timers of one node (changes.py has a turn's side of them).

A durable actor's timer is a row. When it comes due, one commit inserts the tick, an ordinary message, and moves the
row to the next due time, or deletes it. The tick's uid is derived from the timer's id and the due time, so that a
tick that was lost with its commit comes again as itself. OTP: gen_statem's named timeouts, erlang:send_after/3;
APScheduler's `coalesce`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar

import msgspec
from loguru import logger

from ....persistence.commit.effects import Effects
from ....persistence.errors import RecordCorrupt, StoreError
from ....persistence.store.rows import Row, TimerRow
from ...execution.user_code.stepping import breathe
from ...kernel.cell import PASSIVE, STARTING, STOPPING, UP, Cell
from ...kernel.errors import ActorNotFound
from ...kernel.hooks import Extension, Participant
from ...kernel.kernel import Kernel
from ...kernel.turn import Turn
from ...mailbox.delayed import WAKE_MAX_S
from ...mailbox.envelope import Envelope
from .clock import ClockWatch, move, pull_near
from .errors import ExtraMissing
from .queue import TimerQueue
from .tick import Tick
from .timer import Timer

__all__ = ("Timers",)

TICKS_MAX = 500
"""Ticks in a row before the loop gets its turn, because a cron expression may be due for every account at once."""
REST_S = 0.005
"""Seconds until ticks go on that wait for the run-ahead to be under its bound."""


class Standstill(Participant):
    """Keeps the timers of its actor from ticking, because its turn holds a user transaction and
    commits before the queue."""

    rank: ClassVar[int] = 8

    def __init__(self, turn: Turn) -> None:
        self._timers = turn.cell.kernel.part(Timers)
        self._held: dict[Timer, None] = {}

    def hold(self, timer: Timer) -> None:
        """Let a timer that has come due wait for the end of the turn."""
        timer.holder = self
        self._held[timer] = None

    def apply(self) -> None:
        self.withdraw()

    def withdraw(self) -> None:
        if self._held:
            self._timers.release(self._held, self)


class Timers(Extension):
    """All timers of a node: one queue, and one timer of the event loop."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._tick_owner = Tick(kernel)
        self._of: dict[str, dict[str, Timer]] = {}
        """The timers by address and name."""
        self._queue = TimerQueue()
        self._handle: asyncio.TimerHandle | None = None
        self.asleep: dict[str, dict[Timer, None]] = {}
        """Timers that came due and wait for their actor, by address: it isn't there, or doesn't run, or
        its mailbox is full."""
        self._on_way = 0
        """The number of ticks that wait for their commit, after a crash. No other tick may pass them."""
        self._life = 0
        """The number of times that everything was read anew."""
        self._overdue = False
        """Whether some timers are due and haven't ticked yet, because there are so many."""
        self.clock = ClockWatch(kernel, self._clock_jumped, self._wait_again)

    @property
    def busy(self) -> bool:
        return self._overdue

    # -- the timers of an actor ----------------------------------------------------------------------------

    def of(self, address: str) -> dict[str, Timer]:
        """An actor's timers by name, to be read."""
        return self._of.get(address, {})

    def rows_of(self, address: str) -> list[tuple[type[Row], Any]]:
        return [(TimerRow, (address, timer.name)) for timer in self.of(address).values() if timer.stored]

    def enter(self, timer: Timer) -> None:
        """Enter a timer that is new, or new under its name."""
        self.remove(self.of(timer.address).get(timer.name))
        self._of.setdefault(timer.address, {})[timer.name] = timer
        self._push(timer)

    def remove(self, timer: Timer | None) -> None:
        if timer is None:
            return
        of = self._of.get(timer.address, {})
        if of.get(timer.name) is timer:
            del of[timer.name]
            if not of:
                del self._of[timer.address]
        self._queue.take_out(timer)
        asleep = self.asleep.get(timer.address, {})
        if timer in asleep:
            del asleep[timer]
            if not asleep:
                del self.asleep[timer.address]

    def forget(self, address: str) -> None:
        """Forget the timers of an actor that is gone for good, and its rows with it."""
        for timer in list(self.of(address).values()):
            self.remove(timer)

    def fenced(self, cell: Cell) -> None:
        """End the timers that an incarnation had in memory alone, because it is over."""
        if cell.durable:
            return
        for timer in list(self.of(cell.address).values()):
            if not timer.stored:
                self.remove(timer)

    def keeps(self, cell: Cell) -> bool:
        """Whether the cell has timers in memory alone, as an actor without rows has."""
        return not cell.durable and bool(self.of(cell.address))

    def holding(self, cell: Cell) -> None:
        if cell.address in self._of and cell.turn is not None:
            cell.turn.part(Standstill)

    def release(self, timers: Iterable[Timer], holder: object) -> None:
        """Let timers tick again, because the turn that kept them from it is over."""
        for timer in timers:
            if timer.holder is holder:
                timer.holder = None
                if not timer.place and self.of(timer.address).get(timer.name) is timer:
                    self._push(timer)  # it came due meanwhile
        self.look()

    # -- actors that go on -------------------------------------------------------------------------------

    def retry(self, address: str) -> None:
        """Tick again, because there may be room in the actor's mailbox."""
        for timer in self._awake(address):
            if timer.told:
                self._sleep(timer)
            else:
                self._push(timer)
        self.look()

    def started(self, cell: Cell) -> None:
        """Let timers go on, because the actor is up. A tick that waits in its mailbox stands for all
        that came due since."""
        if cell.address not in self.asleep:
            return
        now = self._kernel.runtime.now()
        for timer in self._awake(cell.address):
            if timer.told and timer.due <= now:
                try:
                    due = timer.schedule.next(now)
                except (ExtraMissing, ValueError) as error:
                    self._give_up(timer, error)
                    continue
                if timer.stored and not self._write(cell, timer, due):
                    continue
                if not self._go_on(timer, due):
                    continue
            self._push(timer)
        self.look()

    def _go_on(self, timer: Timer, due: float | None) -> bool:
        """Set the next due time. Returns whether there is one; if not, the timer is forgotten."""
        if due is None:
            self.remove(timer)
            return False
        timer.due = due
        return True

    def _awake(self, address: str) -> list[Timer]:
        return list(self.asleep.pop(address, ()))

    def _give_up(self, timer: Timer, error: Exception) -> None:
        """Forget a timer in memory, because its next due time can't be told. Its row stays, for a
        life in which it can."""
        self._sleep(timer)
        logger.error("the timer {} of {} can't go on: {}", timer.name, timer.address, error)

    def _sleep(self, timer: Timer, *, told: bool = False) -> None:
        timer.told = timer.told or told
        self.asleep.setdefault(timer.address, {})[timer] = None

    # -- the queue ---------------------------------------------------------------------------------------

    def _push(self, timer: Timer) -> None:
        timer.told = False
        if self._queue.push(timer) and not self._overdue:
            self._set_handle()

    def _set_handle(self, wait_s: float | None = None) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        runtime = self._kernel.runtime
        due = self._queue.next_due
        if wait_s is None and due is not None:
            wait_s = max(0.0, due - runtime.now())
        if wait_s is not None:
            self._handle = runtime.call_later(min(wait_s, WAKE_MAX_S), self._due)

    def look(self) -> None:
        """Let the timers tick that are due by now."""
        due = self._queue.next_due
        if due is not None and not self._overdue and due <= self._kernel.runtime.now():
            self._due()

    def _due(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        kernel = self._kernel
        if kernel.over:
            return  # the rows stay, for the next life
        self.clock.look()
        self._overdue = True
        now = kernel.runtime.now()
        for _ in range(TICKS_MAX):
            if kernel.commits.behind:
                break
            timer = self._queue.pop_due(now)
            if timer is None:
                self._overdue = False
                self._set_handle()
                kernel.maybe_idle()
                return
            self._tick(timer, now)
        self._set_handle(REST_S if kernel.commits.behind else 0.0)

    def _clock_jumped(self, by_s: float) -> None:
        now = self._kernel.runtime.now()
        for timers in self._of.values():
            for timer in timers.values():
                try:
                    move(timer, by_s, now)
                except (ExtraMissing, ValueError) as error:
                    logger.error("the timer {} of {} keeps its due time: {}", timer.name, timer.address, error)
        self._queue.rebuild()

    def _wait_again(self) -> None:
        self._kernel.delayed.wait_again()
        if not self._overdue:
            self._set_handle()

    # -- ticks -------------------------------------------------------------------------------------------

    def _tick(self, timer: Timer, now: float) -> None:
        if timer.holder is not None:
            return  # `release` sees to it
        kernel = self._kernel
        try:
            cell = kernel.router.resolve(timer.address)
        except ActorNotFound:
            self._sleep(timer)
            return
        turn = cell.turn
        standstill = None if turn is None else turn.find(Standstill)
        if standstill is not None:
            standstill.hold(timer)
            return
        if cell.mailbox.count >= cell.options.capacity:
            self._sleep(timer)
            kernel.router.when_room(cell, partial(self.retry, timer.address))
            return
        try:
            due = timer.schedule.next(now)
        except (ExtraMissing, ValueError) as error:
            self._give_up(timer, error)
            return
        envelope = timer.tick()
        if timer.stored and not self._write(cell, timer, due, envelope):
            return
        if self._go_on(timer, due):
            if _runs(cell):
                self._push(timer)
            else:
                self._sleep(timer, told=True)
        self._deliver(envelope)

    def _write(self, cell: Cell, timer: Timer, due: float | None, tick: Envelope | None = None) -> bool:
        """Write the row's next due time, and the tick, in one commit.

        Returns False if the store is broken, because everything is about to be read again from it.
        """
        effects = Effects(guilty=self._tick_owner, size=400 + 2 * len(timer.body))
        if tick is not None:
            tick.id = self._kernel.next_id()
            effects.inserts = (tick,)
        if due is None:
            effects.deletes = ((TimerRow, (timer.address, timer.name)),)
        else:
            effects.rows = (timer.row(due),)
        try:
            position = self._kernel.commits.submit(effects)
        except StoreError:
            return False
        if tick is not None:
            tick.after = position
        # A turn with a user transaction commits before the queue: it waits for this commit before it begins that.
        cell.rest_on(position)
        return True

    def _deliver(self, envelope: Envelope) -> None:
        kernel = self._kernel
        if envelope.after <= kernel.commits.committed or not (kernel.caution is not None or self._on_way):
            kernel.router.redeliver(envelope.address, envelope)
            return

        def arrive(lost: StoreError | None) -> None:
            self._on_way -= 1
            if lost is None:
                kernel.router.redeliver(envelope.address, envelope)

        self._on_way += 1
        kernel.commits.when(envelope.after, arrive)

    # -- boot, a store that is back, the stop ------------------------------------------------------------

    def reset(self) -> None:
        """Forget everything, because every incarnation is gone. Timers with rows are read again."""
        self._life += 1
        self._of.clear()
        self._queue.clear()
        self.asleep.clear()
        self._overdue = False
        self._set_handle()

    def close(self) -> None:
        self.reset()

    async def load(self) -> None:
        """Read all rows. Damaged ones are left alone, and reported. Nothing ticks before `catch_up`."""
        self.reset()
        self._overdue = True
        found: list[Timer] = []
        now = self._kernel.runtime.now()
        async for row in self._kernel.store.iterate(TimerRow):
            try:
                timer = Timer.from_row(row)
                pull_near(timer, now)
            except (RecordCorrupt, msgspec.MsgspecError) as error:
                what = f"the node starts without the timer {row.name} of {row.address}"
                self._kernel.report_damage(error, what, row.address)
                continue
            self._of.setdefault(timer.address, {})[timer.name] = timer
            found.append(timer)
        self._queue.fill(found)

    async def look_round(self) -> None:
        self.clock.begin()

    async def catch_up(self) -> None:
        """Let timers that came due while the node was away tick now, once, before anything starts.

        So an `on_start` that schedules a name again can't undo a tick that is already due.
        """
        kernel, life = self._kernel, self._life
        now = kernel.runtime.now()
        done = 0
        while self._life == life and (timer := self._queue.pop_due(now)) is not None:
            self._tick(timer, now)
            done += 1
            if kernel.commits.behind:
                await kernel.commits.room()
            elif done % TICKS_MAX == 0:
                await breathe()
        if self._life != life:
            return  # the store has failed again
        for address, asleep in self.asleep.items():
            if address not in kernel.cells:
                logger.warning("{} timers of {} are due, and nothing in the tree is there", len(asleep), address)
        self._overdue = False
        self._set_handle()


def _runs(cell: Cell) -> bool:
    """Whether its actor handles mail, or is brought back by mail."""
    return cell.status in (UP, STARTING, STOPPING) or (cell.status is PASSIVE and cell.may_start())
