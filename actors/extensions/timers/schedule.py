"""Schedule: when a timer is due. After so many seconds, every so many, at a moment, or by a cron expression.

    self.schedule(Remind(), after_s=60)
    self.schedule(Poll(), every_s=5)
    self.schedule(Close(), cron="0 18 * * MON-FRI", timezone="Europe/Berlin")
    self.schedule(Expire(), at=datetime(2031, 5, 4, tzinfo=UTC))

Due times are epoch seconds of the wall clock: they hold over the end of the process. Cron expressions are worked out by
cronsim, by the rules of Debian's cron, the two nights a year included.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from ...delivery.guard import AHEAD_S_MAX, check_seconds
from .errors import ExtraMissing

__all__ = ("Schedule", "make_schedule")

EVERY_S_MIN = 0.001
"""Seconds of the shortest interval. A shorter one is a mistake, because it would do nothing but fill the mailbox."""

NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
"""Debian: crontab(5). A row has the five fields that a nickname stands for."""


class Schedule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The arguments of `self.schedule`, as the timer's row keeps them. One of after_s, every_s, cron and at is set."""

    id: str = ""
    """The timer's identity, derived from the turn that scheduled it. The uids of its ticks are derived from it."""
    after_s: float | None = None
    every_s: float | None = None
    first: float = 0.0
    """The first due time of `every_s`, in epoch seconds, where its grid begins."""
    cron: str | None = None
    timezone: str = "UTC"
    at: str | None = None
    """The moment, in ISO 8601."""

    def next(self, now: float) -> float | None:
        """The first due time after `now` of a timer that repeats; None if there is no more.

        Due times that were missed up to now are left out, because the tick that is just being made stands for them.

        Raises:
            ExtraMissing: the library for cron expressions isn't there. ValueError: the time zone isn't.
        """
        if self.every_s is not None:
            count = max(0, math.floor((now - self.first) / self.every_s) + 1)
            while (due := self.first + count * self.every_s) <= now:  # rounded away
                count += 1
            return due
        if self.cron is not None:
            for moment in _cron_moments(self.cron, self.timezone, now):
                # Debian's rules look at the wall clock alone: in the repeated hour a moment may be the first one's.
                if (due := moment.timestamp()) > now:
                    return due
        return None

    def __str__(self) -> str:
        if self.every_s is not None:
            return f"every {self.every_s:g} s"
        if self.cron is not None:
            return f"cron {self.cron} ({self.timezone})"
        if self.after_s is not None:
            return f"after {self.after_s:g} s"
        return f"at {self.at}"


def make_schedule(
    timer_id: str,
    now: float,
    *,
    after_s: float | None,
    every_s: float | None,
    cron: str | None,
    at: datetime | None,
    timezone: str | None,
) -> tuple[Schedule, float]:
    """The schedule that the arguments of `self.schedule` mean, and its first due time.

    Raises:
        TypeError: not exactly one of the four was given, or one is of a wrong type.
        ValueError: a value that makes no sense.
        ExtraMissing: a cron expression, and the library isn't installed.
    """
    given = {"after_s": after_s, "every_s": every_s, "cron": cron, "at": at}
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        found = f"{' and '.join(named)} were" if named else "none of them was"
        raise TypeError(f"schedule() takes one of after_s, every_s, cron and at; {found} given")
    if timezone is not None and cron is None:
        raise TypeError(f"schedule({named[0]}=…, timezone={timezone!r}): a time zone belongs to a cron expression")
    if after_s is not None:
        check_seconds("after_s", after_s, at_least=0.0)
        return Schedule(id=timer_id, after_s=float(after_s)), now + after_s
    if every_s is not None:
        check_seconds("every_s", every_s, at_least=EVERY_S_MIN)
        return Schedule(id=timer_id, every_s=float(every_s), first=now + every_s), now + every_s
    if at is not None:
        return Schedule(id=timer_id, at=_checked_moment(at, now).isoformat()), at.timestamp()
    return _by_cron(timer_id, now, cron, "UTC" if timezone is None else timezone)


def _by_cron(timer_id: str, now: float, cron: Any, timezone: Any) -> tuple[Schedule, float]:
    if not isinstance(cron, str):
        raise TypeError(f'cron={cron!r:.100}: a cron expression is a str, such as "*/5 * * * *"')
    if not isinstance(timezone, str):
        raise TypeError(f'timezone={timezone!r:.100}: it is a name, such as "Europe/Berlin"')
    expression = " ".join(cron.split())
    if expression.startswith("@"):
        expression = _of_nickname(expression)
    schedule = Schedule(id=timer_id, cron=expression, timezone=timezone)
    first = schedule.next(now)
    if first is None:
        raise ValueError(f"cron={cron!r}: there is no such moment within the next 50 years")
    return schedule, first


def _of_nickname(name: str) -> str:
    """The expression that a nickname such as `@daily` stands for."""
    known = NICKNAMES.get(name.lower())
    if known is not None:
        return known
    if name.lower() == "@reboot":
        why = "a timer outlives the node, so it has no reboot. Do it in `on_start`, which runs at each start"
    elif name.lower().startswith("@every"):
        why = "there is no such nickname. For an interval write every_s=300, in seconds"
    else:
        near = difflib.get_close_matches(name.lower(), NICKNAMES, n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        why = f"there is no such nickname. {hint}There are {', '.join(NICKNAMES)}"
    raise ValueError(f"cron={name!r:.100}: {why}")


def _checked_moment(at: Any, now: float) -> datetime:
    if not isinstance(at, datetime):
        raise TypeError(f"at={at!r:.100}: it is a datetime, such as datetime(2031, 5, 4, 12, tzinfo=UTC)")
    if at.utcoffset() is None:
        raise ValueError(f"at={at!r}: a datetime without a time zone means no moment. Give it one: tzinfo=UTC")
    if at.timestamp() - now > AHEAD_S_MAX:
        raise ValueError(f"at={at!r}: that is more than a hundred years ahead")
    return at


def _cron_moments(expression: str, timezone: str, now: float) -> Iterator[datetime]:
    """Moments at which a cron expression is due, from about `now` on; the first ones may lie before it."""
    try:
        from cronsim import CronSim, CronSimError
    except ImportError as error:
        raise ExtraMissing("cron", f"cron={expression!r}", "cronsim") from error
    begin = datetime.fromtimestamp(now, _zone(timezone))
    try:
        moments: Iterator[datetime] = CronSim(expression, begin)
    except (CronSimError, ValueError) as error:  # a ValueError: a number of more digits than Python reads
        why = f"{str(error)[:1].lower()}{str(error)[1:]}"
        fields = "It has five fields: minute, hour, day of the month, month, day of the week"
        raise ValueError(f"cron={expression!r:.100}: {why}. {fields}; or it is a nickname, such as @daily") from None
    return moments


@lru_cache(maxsize=100)
def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        why = 'there is no such zone. It is a name such as "Europe/Berlin"'
        raise ValueError(f"timezone={name!r}: {why}; if the system has no zones, run: pip install tzdata") from None
