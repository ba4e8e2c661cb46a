"""Timers: messages that actors send to themselves, once or again and again (changes.py has a turn's side of it).

A durable actor's timer is a row. When it comes due, one commit inserts the tick, an ordinary message, and moves the row
to the next due time, or deletes it. The tick's uid is derived from the timer's id and the due time: one that was lost
with its commit comes again as itself. OTP: gen_statem's named timeouts, erlang:send_after/3; APScheduler's `coalesce`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from loguru import logger

from ....persistence.commit.effects import Effects
from ....persistence.errors import RecordCorrupt, StoreError
from ....persistence.store.rows import TimerRow
from ...execution.stepping import breathe
from ...kernel.errors import ActorNotFound
from ...kernel.status import PASSIVE, STARTING, STOPPING, UP
from ...mailbox.delayed import WAKE_MAX_S
from ...mailbox.envelope import Envelope
from ...recovery.damage import report_damage
from .changes import Timing
from .errors import ExtraMissing
from .timer import Timer

if TYPE_CHECKING:
    import asyncio

    from ...kernel.cell import Cell
    from ...kernel.turn import Turn
    from ...system import ActorSystem

__all__ = ("Timers",)

TICKS_MAX = 500
"""Ticks in a row, before the loop gets its turn: a cron expression may be due for every account at once."""
REST_S = 0.005
"""Until ticks go on that wait for the run-ahead to be under its bound."""
STALE_MAX = 1_000
"""Entries of cancelled timers that the heap may hold, beside as many as it has live ones."""


class Timers:
    """All timers of a node: one heap, and one timer of the event loop."""

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._of: dict[str, dict[str, Timer]] = {}
        """By address and name."""
        self._heap: list[tuple[float, int, Timer]] = []
        self._places = 0
        self._stale = 0
        """Entries of the heap that aren't their timer's any more."""
        self._handle: asyncio.TimerHandle | None = None
        self.asleep: dict[str, dict[Timer, None]] = {}
        """By address, those that came due and wait for their actor: it isn't there, or doesn't run, or its mailbox is
        full."""
        self._on_way = 0
        """Ticks that wait for their commit, after a crash: no other may pass them."""
        self._life = 0
        """How often everything was read anew."""
        self.busy = False
        """Whether some are due and haven't ticked yet, because there are so many."""

    # -- who has which ---------------------------------------------------------------------------------

    def of(self, address: str) -> dict[str, Timer]:
        """An actor's timers by name, to be read."""
        return self._of.get(address, {})

    def rows_of(self, address: str) -> list[tuple[type[TimerRow], Any]]:
        """The rows to be deleted with an actor that retires."""
        return [(TimerRow, (address, timer.name)) for timer in self.of(address).values() if timer.stored]

    def enter(self, timer: Timer) -> None:
        """One that is new, or new under its name."""
        self.forget(self.of(timer.address).get(timer.name))
        self._of.setdefault(timer.address, {})[timer.name] = timer
        self._push(timer)

    def forget(self, timer: Timer | None) -> None:
        if timer is None:
            return
        of = self._of.get(timer.address, {})
        if of.get(timer.name) is timer:
            del of[timer.name]
            if not of:
                del self._of[timer.address]
        self._take_out(timer)
        asleep = self.asleep.get(timer.address, {})
        if timer in asleep:
            del asleep[timer]
            if not asleep:
                del self.asleep[timer.address]

    def drop(self, address: str) -> None:
        """The actor is gone for good, and its rows with it."""
        for timer in list(self.of(address).values()):
            self.forget(timer)

    def ended(self, address: str) -> None:
        """An incarnation is over: what it had in memory alone ends with it."""
        for timer in list(self.of(address).values()):
            if not timer.stored:
                self.forget(timer)

    def hold_all(self, turn: Turn) -> None:
        """The turn is about to hold the write slot."""
        if turn.cell.address in self._of:
            Timing.of(turn).hold_all()

    def release(self, timers: Iterable[Timer], holder: Timing) -> None:
        """A turn is over that kept timers from ticking."""
        for timer in timers:
            if timer.holder is holder:
                timer.holder = None
                if not timer.place and self.of(timer.address).get(timer.name) is timer:
                    self._push(timer)  # it came due meanwhile
        self.look()

    # -- actors that go on -------------------------------------------------------------------------------

    def retry(self, address: str) -> None:
        """There may be room in its mailbox."""
        for timer in self._awake(address):
            if timer.told:
                self._sleep(timer)
            else:
                self._push(timer)
        self.look()

    def started(self, cell: Cell) -> None:
        """The actor is up. A tick that waits in its mailbox stands for all that came due since."""
        now = self._system.runtime.now()
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
        """Whether there is a next due time: it has that now. Else it is forgotten."""
        if due is None:
            self.forget(timer)
            return False
        timer.due = due
        return True

    def _awake(self, address: str) -> list[Timer]:
        return list(self.asleep.pop(address, ()))

    def _give_up(self, timer: Timer, error: Exception) -> None:
        """Nobody can tell when it is due next. Its row stays, for a life in which somebody can."""
        self._sleep(timer)
        logger.error("the timer {} of {} can't go on: {}", timer.name, timer.address, error)

    def _sleep(self, timer: Timer, *, told: bool = False) -> None:
        timer.told = timer.told or told
        self.asleep.setdefault(timer.address, {})[timer] = None

    # -- the heap ----------------------------------------------------------------------------------------

    def _push(self, timer: Timer) -> None:
        timer.told = False
        self._places += 1
        timer.place = self._places
        heapq.heappush(self._heap, (timer.due, timer.place, timer))
        if self._heap[0][1] == timer.place and not self.busy:
            self._set_handle()

    def _take_out(self, timer: Timer) -> None:
        if timer.place:
            timer.place = 0
            self._stale += 1
            if self._stale > STALE_MAX + len(self._heap) // 2:
                self._heap = [entry for entry in self._heap if entry[1] == entry[2].place]
                heapq.heapify(self._heap)
                self._stale = 0

    def _pop_due(self, now: float) -> Timer | None:
        """The next one that is due."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            _, place, timer = heapq.heappop(heap)
            if timer.place != place:
                self._stale -= 1
                continue
            timer.place = 0
            return timer
        return None

    def _set_handle(self, wait_s: float | None = None) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        runtime = self._system.runtime
        if wait_s is None and self._heap:
            wait_s = max(0.0, self._heap[0][0] - runtime.now())
        if wait_s is not None:
            self._handle = runtime.call_later(min(wait_s, WAKE_MAX_S), self._due)

    def look(self) -> None:
        """Those that are due by now tick at once."""
        if self._heap and not self.busy and self._heap[0][0] <= self._system.runtime.now():
            self._due()

    def _due(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        system = self._system
        if system.over:
            return  # the rows stay, for the next life
        self.busy = True
        now = system.runtime.now()
        for _ in range(TICKS_MAX):
            if system.committer.behind:
                break
            timer = self._pop_due(now)
            if timer is None:
                self.busy = False
                self._set_handle()
                system.maybe_idle()
                return
            self._tick(timer, now)
        self._set_handle(REST_S if system.committer.behind else 0.0)

    # -- ticks -------------------------------------------------------------------------------------------

    def _tick(self, timer: Timer, now: float) -> None:
        if timer.holder is not None:
            return  # `release` sees to it
        system = self._system
        try:
            cell = system.resolve(timer.address)
        except ActorNotFound:
            self._sleep(timer)
            return
        turn = cell.turn
        if turn is not None and turn.timing is not None and turn.timing.hold_back(timer):
            return
        if cell.mailbox.count >= cell.options.capacity:
            self._sleep(timer)
            system.delivery.when_room(cell, partial(self.retry, timer.address))
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
        """The row's next due time, and the tick, in one commit.

        False if the store is broken: everything is about to be read again from it.
        """
        effects = Effects(guilty=timer, size=400 + 2 * len(timer.body))
        if tick is not None:
            tick.id = self._system.next_id()
            effects.inserts = (tick,)
        if due is None:
            effects.deletes = ((TimerRow, (timer.address, timer.name)),)
        else:
            effects.rows = (timer.row(due),)
        try:
            position = self._system.committer.submit(effects)
        except StoreError:
            return False
        if tick is not None:
            tick.after = position
        # A turn that holds the write slot commits before what is queued: it waits for this before it takes the slot.
        cell.after = position
        if cell.turn is not None:
            cell.turn.after = position
        return True

    def _deliver(self, envelope: Envelope) -> None:
        system = self._system
        if envelope.after <= system.committer.committed or not (system.cautious or self._on_way):
            system.delivery.redeliver(envelope.address, envelope)
            return

        def arrive(lost: StoreError | None) -> None:
            self._on_way -= 1
            if lost is None:
                system.delivery.redeliver(envelope.address, envelope)

        self._on_way += 1
        system.committer.when(envelope.after, arrive)

    # -- boot, a store that is back, the stop ------------------------------------------------------------

    def reset(self) -> None:
        """Every incarnation is gone; what has rows is read again."""
        self._life += 1
        self._of.clear()
        self._heap.clear()
        self.asleep.clear()
        self._stale = 0
        self.busy = False
        self._set_handle()

    async def load(self) -> None:
        """Read all rows. Damaged ones are left alone, and reported. Nothing ticks before `catch_up`."""
        self.reset()
        self.busy = True
        async for row in self._system.store.iterate(TimerRow):
            try:
                timer = Timer.from_row(row)
            except (RecordCorrupt, msgspec.MsgspecError) as error:
                what = f"the node starts without the timer {row.name} of {row.address}"
                report_damage(self._system, error, what, row.address)
                continue
            self._of.setdefault(timer.address, {})[timer.name] = timer
            self._places += 1
            timer.place = self._places
            self._heap.append((timer.due, timer.place, timer))
        heapq.heapify(self._heap)

    async def catch_up(self) -> None:
        """What came due while the node was away ticks now, once, before anything starts.

        So no `on_start` that schedules a name again can undo a tick that was owed.
        """
        system, life = self._system, self._life
        now = system.runtime.now()
        done = 0
        while self._life == life and (timer := self._pop_due(now)) is not None:
            self._tick(timer, now)
            done += 1
            if system.committer.behind:
                await system.committer.room()
            elif done % TICKS_MAX == 0:
                await breathe()
        if self._life != life:
            return  # the store has failed again
        for address, asleep in self.asleep.items():
            if address not in system.cells:
                logger.warning("{} timers of {} are due, and nothing in the tree is there", len(asleep), address)
        self.busy = False
        self._set_handle()


def _runs(cell: Cell) -> bool:
    """Whether its actor handles mail, or is brought back by it."""
    return cell.status in (UP, STARTING, STOPPING) or (cell.status is PASSIVE and cell.may_start())
