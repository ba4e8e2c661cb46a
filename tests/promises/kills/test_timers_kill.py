"""kill -9 of a real process whose actors live by their timers: one tick for each due time, and none is lost."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from processes import ended, environment, program

from greenroom.actors.extensions.timers.schedule import Schedule
from greenroom.actors.mailbox.envelope import derived_uid

VICTIM = program("tick_victim.py")


class Lives:
    """Of one database."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "v.db"
        self.errors = folder / "stderr"
        self.children: list[subprocess.Popen[str]] = []

    def begin(self, mode: str) -> Iterator[list[str]]:
        """Start the victim; what it says, line by line."""
        with self.errors.open("a") as errors:
            child = subprocess.Popen(
                [sys.executable, "-W", "error", VICTIM, mode, str(self.path)],
                env=environment(),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.children.append(child)
        assert child.stdout is not None
        for line in child.stdout:
            if line.endswith("\n"):  # the last one may be torn
                yield line.split(" ", 1) if line.startswith("logs") else line.split()

    def close(self) -> None:
        for child in self.children:
            child.kill()
            child.wait()
            assert child.stdout is not None
            child.stdout.close()

    def grids(self) -> dict[str, Schedule]:
        """The timers of `every_s`, by address."""
        with closing(sqlite3.connect(self.path)) as connection:
            rows = connection.execute("SELECT address, rule FROM greenroom_timer WHERE name = 'Tick'").fetchall()
        return {address: msgspec.json.decode(rule, type=Schedule) for address, rule in rows}


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Lives]:
    lives = Lives(tmp_path)
    yield lives
    lives.close()


def ticked(lives: Lives, kills: int) -> None:
    draw = random.Random(kills)
    for _ in range(kills):
        killed = False
        left = draw.randrange(1, 12)
        for word, *_rest in lives.begin("tick"):
            left -= word == "ticked"
            if left <= 0 and not killed:
                lives.children[-1].kill()
                killed = True
        assert killed, lives.errors.read_text()
    grids = lives.grids()
    assert len(grids) == 3
    (found,) = [rest[0] for word, *rest in lives.begin("logs") if word == "logs"]
    assert ended(lives.children[-1], lives.errors) == 0, lives.errors.read_text()
    check(json.loads(found), grids)
    with closing(sqlite3.connect(lives.path)) as connection:
        for table in ("message", "timer", "dead_letter"):
            assert connection.execute(f"SELECT count(*) FROM greenroom_{table}").fetchone() == (0,), table


def check(logs: dict[str, Any], grids: dict[str, Schedule]) -> None:
    entries = logs.pop("/v/ledger")
    assert set(entries.values()) == {1}, "an effect of a tick twice"
    for address, log in logs.items():
        ticks, links = log["ticks"], log["links"]
        assert len(ticks) > 20
        assert len(set(ticks)) == len(ticks), "a tick twice"
        assert links == list(range(len(links))), "each link schedules the next one: none is lost, none comes twice"
        assert len([name for name in entries if name.startswith(f"{address} ")]) == len(ticks) + len(links)
        first_attempts = [tick for tick in ticks if tick not in log["retried"]]
        assert in_order(first_attempts, grids[address]), "a tick that no due time has, or one that has passed another"


def in_order(ticks: list[str], schedule: Schedule) -> bool:
    """Whether these are ticks of a fixed rate, in the order of their due times. (Missed ones are left out.)"""
    now, wanted = schedule.first - 0.001, iter(ticks)
    tick = next(wanted, None)
    for _ in range(1_000_000):
        if tick is None:
            return True
        due = schedule.next(now)
        assert due is not None
        now = due
        if derived_uid(schedule.id, f"due {due!r}") == tick:
            tick = next(wanted, None)
    return False


def test_five_kills(lives: Lives) -> None:
    ticked(lives, 5)


@pytest.mark.torture
@pytest.mark.timeout(900)
def test_a_hundred_kills(lives: Lives) -> None:
    ticked(lives, 100)
