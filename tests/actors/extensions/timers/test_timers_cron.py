"""Cron expressions: when they are due, the two nights a year, and what is wrong with them."""

from __future__ import annotations

import builtins
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from grounds import Ground, MemoryGround, tree
from tick_actors import EPOCH, T, Ticker, labels, plan, ticks, timers, times

from greenroom import ExtraMissing
from greenroom.actors.extensions.timers.schedule import Schedule, make_schedule
from greenroom.persistence.store.rows import TimerRow
from greenroom.testing import Recorder, VirtualRuntime

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")


def due(expression: str, zone: ZoneInfo, *begin: int, count: int = 4) -> list[str]:
    """The next so many local times of an expression, each worked out from the one before, as timers do."""
    schedule = Schedule(cron=expression, timezone=zone.key)
    now, found = datetime(*begin, tzinfo=zone).timestamp(), []  # type: ignore[misc, arg-type]
    for _ in range(count):
        following = schedule.next(now)
        assert following is not None
        assert following > now
        now = following
        found.append(datetime.fromtimestamp(now, zone).strftime("%d %H:%M%z"))
    return found


# -- the clock goes forward: 02:00 to 03:00 does not exist --------------------------------------------------


def test_a_job_in_the_hour_that_is_missing_comes_right_after_it() -> None:
    assert due("30 2 * * *", BERLIN, 2026, 3, 28, 12, count=3) == ["29 03:00+0200", "30 02:30+0200", "31 02:30+0200"]
    assert due("30 2 * * *", NEW_YORK, 2026, 3, 7, 12, count=2) == ["08 03:00-0400", "09 02:30-0400"]


def test_several_in_the_missing_hour_are_one() -> None:
    assert due("0,30 2 * * *", BERLIN, 2026, 3, 28, 12, count=3) == ["29 03:00+0200", "30 02:00+0200", "30 02:30+0200"]


def test_a_job_of_every_half_hour_goes_by_the_real_time_when_it_is_missing() -> None:
    found = ["29 01:00+0100", "29 01:30+0100", "29 03:00+0200", "29 03:30+0200"]
    assert due("*/30 * * * *", BERLIN, 2026, 3, 29, 0, 45) == found


# -- the clock goes back: 02:00 to 03:00 comes twice ----------------------------------------------------------


def test_a_job_in_the_hour_that_comes_twice_comes_once() -> None:
    assert due("30 2 * * *", BERLIN, 2026, 10, 24, 12, count=3) == ["25 02:30+0200", "26 02:30+0100", "27 02:30+0100"]
    assert due("30 1 * * *", NEW_YORK, 2026, 10, 31, 12, count=2) == ["01 01:30-0400", "02 01:30-0500"]


def test_scheduled_in_the_second_of_the_two_hours() -> None:
    """The first one's half past two is over: cronsim, which looks at the wall alone, would give it again."""
    now = datetime(2026, 10, 25, 2, 15, fold=1, tzinfo=BERLIN).timestamp()
    following = Schedule(cron="30 2 * * *", timezone="Europe/Berlin").next(now)
    assert following == datetime(2026, 10, 26, 2, 30, tzinfo=BERLIN).timestamp()


def test_a_job_of_every_half_hour_goes_by_the_real_time_when_it_comes_twice() -> None:
    found = ["25 02:00+0200", "25 02:30+0200", "25 02:00+0100", "25 02:30+0100", "25 03:00+0100"]
    assert due("*/30 * * * *", BERLIN, 2026, 10, 25, 1, 45, count=5) == found


# -- zones, fields ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("expression", ["0 18 * * MON-FRI", "0 18 * * mon-fri", "  0  18 * * 1-5 "])
def test_a_zone_and_names(expression: str) -> None:
    found = ["20 18:00+0100", "23 18:00+0100", "24 18:00+0100"]
    assert due(expression, BERLIN, 2026, 11, 20, 12, count=3) == found


@pytest.mark.parametrize(
    ("nickname", "moments"),
    [
        ("@hourly", ["2026-03-05 13:00", "2026-03-05 14:00"]),
        ("@daily", ["2026-03-06 00:00", "2026-03-07 00:00"]),
        ("@midnight", ["2026-03-06 00:00", "2026-03-07 00:00"]),
        ("@weekly", ["2026-03-08 00:00", "2026-03-15 00:00"]),
        ("@monthly", ["2026-04-01 00:00", "2026-05-01 00:00"]),
        ("@yearly", ["2027-01-01 00:00", "2028-01-01 00:00"]),
        (" @Annually ", ["2027-01-01 00:00", "2028-01-01 00:00"]),
    ],
)
def test_a_nickname(nickname: str, moments: list[str]) -> None:
    now = datetime(2026, 3, 5, 12, 30, tzinfo=BERLIN).timestamp()
    schedule, first = make_schedule(
        "id", now, after_s=None, every_s=None, cron=nickname, at=None, timezone="Europe/Berlin"
    )
    second = schedule.next(first)
    assert second is not None
    assert [datetime.fromtimestamp(due, BERLIN).strftime("%Y-%m-%d %H:%M") for due in (first, second)] == moments


def test_a_daily_job_on_a_day_without_midnight() -> None:
    """In Beirut the clock goes forward at midnight."""
    now = datetime(2026, 3, 28, 12, tzinfo=ZoneInfo("Asia/Beirut")).timestamp()
    schedule, first = make_schedule(
        "id", now, after_s=None, every_s=None, cron="@daily", at=None, timezone="Asia/Beirut"
    )
    moments = [datetime.fromtimestamp(due, ZoneInfo("Asia/Beirut")) for due in (first, schedule.next(first) or 0.0)]
    assert [moment.strftime("%d %H:%M") for moment in moments] == ["29 01:00", "30 00:00"]


def test_without_a_zone_it_is_utc() -> None:
    schedule, first = make_schedule("id", EPOCH, after_s=None, every_s=None, cron="0 12 * * *", at=None, timezone=None)
    assert datetime.fromtimestamp(first, UTC).hour == 12
    assert str(schedule) == "cron 0 12 * * * (UTC)"


@pytest.mark.parametrize("zone", [None, "Asia/Kolkata"])
async def test_it_ticks(clock: VirtualRuntime, memory: Ground, zone: str | None) -> None:
    async with memory.node(tree(Ticker), runtime=clock) as system:
        await clock.run(plan(system, cron="*/5 * * * *", timezone=zone))
        await clock.advance(900)
        assert EPOCH % 300 == 200
        assert await times(clock, system) == [100.0, 400.0, 700.0]
    await clock.advance(3600)
    async with memory.node(tree(Ticker), runtime=clock) as system:
        await clock.advance(300)
        assert (await times(clock, system))[3:] == [4500.0, 4600.0]


# -- mistakes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "kind", "text"),
    [
        ({"cron": "61 * * * *"}, ValueError, "bad minute. It has five fields: minute, hour"),
        ({"cron": "* * * *"}, ValueError, "wrong number of fields.*or it is a nickname, such as @daily"),
        ({"cron": "@reboot"}, ValueError, "it has no reboot. Do it in `on_start`"),
        ({"cron": "@Every 5m"}, ValueError, "For an interval write every_s=300, in seconds"),
        ({"cron": "@dayly"}, ValueError, "Did you mean '@daily'\\? There are @hourly, @daily"),
        ({"cron": "@daily 5"}, ValueError, "there is no such nickname"),
        ({"cron": f"{'9' * 5000} * * * *"}, ValueError, "It has five fields"),
        ({"cron": ""}, ValueError, "wrong number of fields"),
        ({"cron": "0 0 31 4 *"}, ValueError, "bad day-of-month"),
        ({"cron": "0 0 */31 * MON#5", "timezone": "UTC"}, ValueError, "no such moment within the next 50 years"),
        ({"cron": 5}, TypeError, "a cron expression is a str"),
        ({"cron": "* * * * *", "timezone": "Europe/Atlantis"}, ValueError, "there is no such zone"),
        ({"cron": "* * * * *", "timezone": "/etc/passwd"}, ValueError, "there is no such zone"),
        ({"cron": "* * * * *", "timezone": ""}, ValueError, "there is no such zone"),
        ({"cron": "* * * * *", "timezone": BERLIN}, TypeError, 'it is a name, such as "Europe/Berlin"'),
    ],
)
def test_a_mistake_says_what_to_do(how: dict[str, Any], kind: type[Exception], text: str) -> None:
    arguments: dict[str, Any] = {"after_s": None, "every_s": None, "cron": None, "at": None, "timezone": None, **how}
    with pytest.raises(kind, match=text):
        make_schedule("id", EPOCH, **arguments)


def without_cronsim(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def importing(name: str, *rest: Any, **named: Any) -> Any:
        if name == "cronsim":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", importing)


async def test_without_the_extra(memory: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    without_cronsim(monkeypatch)
    with pytest.raises(ExtraMissing, match=r"Run: pip install 'greenroom\[cron\]'"):
        make_schedule("id", EPOCH, after_s=None, every_s=None, cron="* * * * *", at=None, timezone=None)
    async with memory.node(tree(("ticker", Ticker), intensity=10)) as system:
        events = Recorder(system)
        await plan(system, cron="* * * * *")
        assert events.of("message.parked", T)[0].measures["error"].endswith("ExtraMissing")
        await plan(system, after_s=0)
        assert await labels(system) == [""]


async def test_a_life_without_the_extra(
    clock: VirtualRuntime, memory: MemoryGround, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timer rests, and its row stays; the next life that has the library takes it up, and owes one tick."""
    async with memory.node(tree(Ticker), runtime=clock) as system:
        await clock.run(plan(system, "cron", cron="0 * * * *"))
    with monkeypatch.context() as patch:
        without_cronsim(patch)
        async with memory.node(tree(Ticker), runtime=clock) as system:
            await clock.advance(3 * 3600)
            assert await clock.run(ticks(system)) == []
            assert timers(memory) == [(T, "Tick")]
    async with memory.node(tree(Ticker), runtime=clock) as system:
        assert await clock.run(labels(system)) == ["cron"]


async def test_a_zone_that_is_gone(clock: VirtualRuntime, memory: MemoryGround) -> None:
    async with memory.node(tree(Ticker), runtime=clock) as system:
        await clock.run(plan(system, "cron", cron="0 * * * *", timezone="Europe/Berlin"))
    rule = memory.rows(TimerRow)[0].rule
    memory.edit(TimerRow, (T, "Tick"), sealed=True, rule=rule.replace("Berlin", "Atlantis"))
    async with memory.node(tree(Ticker), runtime=clock) as system:
        await clock.advance(7200)
        assert await clock.run(ticks(system)) == []
        await clock.run(plan(system, "again", cron="0 * * * *"))
        await clock.advance(3600)
        assert await clock.run(labels(system)) == ["again"]
