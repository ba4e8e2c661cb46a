"""kill -9 while very many handlers merely wait: the node is up at once, they wait beside one another, and only the one
that kills the process is charged."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from grounds import SqliteGround
from processes import ended, environment, program

from greenroom.persistence.store.rows import ActorRow, AttemptRow, DeadLetterRow, MessageRow

KILLER, MAX_ATTEMPTS = 37, 3
"""As in waiting_victim.py."""


class Lives:
    """The lives of one node."""

    def __init__(self, folder: Path, count: int, how: str) -> None:
        self.ground = SqliteGround(folder)
        self.count = count
        self.how = how
        self.child: subprocess.Popen[str] | None = None
        self.deaths = 0

    def begin(self) -> None:
        victim = program("waiting_victim.py")
        command = [sys.executable, "-W", "error", victim, str(self.ground.path), str(self.count), self.how]
        self.child = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)

    def until(self, word: str) -> bool:
        """Read what it says, until it says this. Returns whether it does."""
        assert self.child is not None
        assert self.child.stdout is not None
        return any(line.split()[:1] == [word] for line in self.child.stdout)

    def kill(self) -> None:
        assert self.child is not None
        self.child.kill()
        self.end()

    def end(self) -> int:
        """Returns its exit code."""
        assert self.child is not None
        assert self.child.stdout is not None
        self.child.stdout.read()
        self.child.stdout.close()
        code = ended(self.child)
        self.child = None
        self.deaths += code != 0
        return code

    def allow(self, what: str) -> None:
        self.ground.path.with_name(f"node.db.{what}").touch()

    def first(self) -> None:
        """The first life: it is killed when all handlers wait."""
        self.begin()
        assert self.until("told")
        self.kill()

    def check(self, *parked: int) -> None:
        """Everybody else was handled once, at the first attempt."""
        assert not self.ground.rows(MessageRow)
        assert not self.ground.rows(AttemptRow)
        letters = self.ground.rows(DeadLetterRow)
        assert [(letter.address, letter.cause, letter.attempts) for letter in letters] == [
            (f"/v/pool/{number}", "crash", MAX_ATTEMPTS) for number in parked
        ]
        found = {row.address: msgspec.json.decode(row.state) for row in self.ground.rows(ActorRow)}
        others = [f"/v/pool/{number}" for number in range(self.count) if number not in parked]
        assert {address: found.get(address) for address in others} == {address: [1] for address in others}


@pytest.fixture
def lives(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lives]:
    made = Lives(tmp_path, *request.param)
    yield made
    if made.child is not None:
        made.kill()


@pytest.mark.parametrize("lives", [(100, "nobody")], indirect=True, ids=["100"])
@pytest.mark.parametrize("kills", [1, 3])
def test_kills_from_outside(lives: Lives, kills: int) -> None:
    lives.first()
    for _ in range(kills - 1):
        lives.begin()
        assert lives.until("answered")  # the handlers wait still, and so would a `start()` that waits for them
        lives.kill()
    lives.begin()
    assert lives.until("answered")
    lives.allow("open")
    assert lives.end() == 0
    lives.check()


@pytest.mark.parametrize("lives", [(100, "nobody")], indirect=True, ids=["100"])
def test_all_of_them_wait_at_once_in_the_next_life(lives: Lives) -> None:
    lives.first()
    lives.begin()
    assert lives.until("waiting")
    lives.allow("open")
    assert lives.end() == 0
    lives.check()


def found(lives: Lives, cornered: int) -> None:
    """A killer among them is parked in few lives.

    Args:
        cornered: the number of deaths before it can be charged.
    """
    lives.first()
    lives.allow("fuse")
    lives.begin()
    assert lives.end() != 0
    lives.allow("open")
    while True:
        lives.begin()
        if lives.end() == 0:
            break
        assert lives.deaths < 40
    assert lives.deaths <= cornered + MAX_ATTEMPTS
    lives.check(KILLER)


@pytest.mark.parametrize("lives", [(100, "runs")], indirect=True, ids=["100"])
def test_one_that_kills_by_its_own_code(lives: Lives) -> None:
    found(lives, 2)


@pytest.mark.parametrize(
    "lives",
    [
        pytest.param((40, "waits"), id="40"),
        pytest.param((100, "waits"), id="100", marks=(pytest.mark.torture, pytest.mark.timeout(600))),
        pytest.param((1000, "waits"), id="1000", marks=(pytest.mark.torture, pytest.mark.timeout(600))),
    ],
    indirect=True,
)
def test_one_that_kills_while_it_waits(lives: Lives) -> None:
    found(lives, 2 + math.ceil(math.log2(lives.count)))
