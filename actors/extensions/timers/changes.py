"""Changes: the timers that one turn schedules and cancels. They take effect at the turn's finish, or not at all."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from ....persistence.store.rows import TimerRow
from ...kernel.hooks import Participant
from ...kernel.turn import Turn
from ...mailbox.envelope import Envelope
from ...messages.codec import round_trip
from ...messages.errors import NotAMessage
from ...messages.message import Message, tag_of
from ...messages.types import is_deeply_immutable
from .errors import TooManyTimers
from .registry import Timers
from .schedule import make_schedule
from .timer import TIMERS_MAX, Timer

__all__ = ("NAME_LENGTH_MAX", "TimerChanges")

NAME_LENGTH_MAX = 200


class TimerChanges(Participant):
    """The changes of one turn. A timer that it may replace or cancel doesn't tick until the turn is over."""

    rank: ClassVar[int] = 3

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._cell = turn.cell
        self._timers = turn.cell.kernel.part(Timers)
        self._changes: dict[str, Timer | None] = {}
        """Timers by name; None: to be cancelled."""
        self._more = 0
        """The number of timers that the actor has more by the changes."""
        self._held: dict[Timer, None] = {}

    # -- what the handler calls --------------------------------------------------------------------------

    def schedule(
        self,
        message: Message,
        *,
        after_s: float | None,
        every_s: float | None,
        cron: str | None,
        at: datetime | None,
        name: str | None,
        timezone: str | None,
    ) -> str:
        if not isinstance(message, Message):
            raise NotAMessage(message)
        cell, cls = self._cell, type(message)
        tag = tag_of(cls)
        name = tag if name is None else _checked_name(name)
        if cell.handler_for(cls) is None:
            raise cell.definition.unhandled(cell.address, cls)
        body, copy = round_trip(cell.address, message)
        self._timers.clock.look()
        now = cell.kernel.runtime.now()
        schedule, due = make_schedule(
            self._turn.next_uid(), now, after_s=after_s, every_s=every_s, cron=cron, at=at, timezone=timezone
        )
        current = self._current(name)
        if current is None:
            if len(self._timers.of(cell.address)) + self._more >= TIMERS_MAX:
                raise TooManyTimers(cell.address, TIMERS_MAX)
            self._more += 1
        shared = copy if is_deeply_immutable(cls) else None
        self._change(name, Timer(cell.address, name, due, schedule, tag, body, shared, cell.durable))
        return name

    def cancel(self, name: str) -> bool:
        if self._current(_checked_name(name)) is None:
            return False
        self._more -= 1
        self._change(name, None)
        return True

    def _current(self, name: str) -> Timer | None:
        if name in self._changes:
            return self._changes[name]
        return self._timers.of(self._cell.address).get(name)

    def _change(self, name: str, timer: Timer | None) -> None:
        replaced = self._timers.of(self._cell.address).get(name)
        if replaced is not None and replaced.holder is not self:
            self._hold(replaced)
        self._changes[name] = timer

    # -- what the runtime does ---------------------------------------------------------------------------

    def _hold(self, timer: Timer) -> None:
        timer.holder = self
        self._held[timer] = None

    def prepare(self, inserts: list[Envelope], ahead: bool) -> int:
        """Add the rows to write and to delete to the turn. Returns their bytes."""
        turn, address = self._turn, self._cell.address
        size = 0
        if turn.retiring:
            return size
        for name, timer in self._changes.items():
            if timer is not None and timer.stored:
                turn.record(timer.row(timer.due))
                size += 400 + len(timer.body)
                continue
            replaced = self._timers.of(address).get(name)
            if replaced is not None and replaced.stored:
                turn.delete(TimerRow, (address, name))
        return size

    def apply(self) -> None:
        timers, address = self._timers, self._cell.address
        if not self._turn.retiring:
            for name, timer in self._changes.items():
                if timer is None:
                    timers.remove(timers.of(address).get(name))
                else:
                    timers.enter(timer)
        self.withdraw()
        timers.look()

    def withdraw(self) -> None:
        """Release the timers, because the turn is over."""
        if self._held:
            self._timers.release(self._held, self)


def _checked_name(name: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"name={name!r:.100}: a timer's name is a str")
    if not 0 < len(name) <= NAME_LENGTH_MAX or not name.isprintable():
        raise ValueError(f"name={name!r:.300}: a timer's name is printable, and 1 to {NAME_LENGTH_MAX} characters")
    return name
