"""kill -9 of a real process: nothing acknowledged is lost, nothing is done twice, the order holds."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from processes import ended, environment, program

VICTIM = program("kill_victim.py")
Victim = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Victim]:
    children: list[subprocess.Popen[str]] = []

    def start(mode: str, *arguments: object) -> subprocess.Popen[str]:
        with (tmp_path / "stderr").open("a") as stderr:
            child = subprocess.Popen(
                [sys.executable, "-W", "error", VICTIM, mode, str(tmp_path / "v.db"), *map(str, arguments)],
                env=environment(),
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


def lines(child: subprocess.Popen[str]) -> Iterator[list[str]]:
    assert child.stdout is not None
    for line in child.stdout:
        if line.endswith("\n"):  # the last one may be torn
            yield line.split(" ", 1) if line.startswith(("books", "survived")) else line.split()


def told(victim: Victim, tmp_path: Path, kills: int) -> None:
    draw = random.Random(kills)
    sent: set[tuple[int, int]] = set()
    acked: set[tuple[int, int]] = set()
    for _ in range(kills):
        child = victim("tell", 1 + max((number for _, number in sent), default=0), 4)
        enough = len(acked) + draw.randrange(1, 60)
        killed = False
        for word, *rest in lines(child):
            if word == "sent":
                sent.add((int(rest[0]), int(rest[1])))
            elif word == "acked":
                acked.add((int(rest[0]), int(rest[1])))
            if not killed and len(acked) >= enough:
                child.kill()
                killed = True
        assert killed, (tmp_path / "stderr").read_text()
        child.wait()
    child = victim("books")
    (found,) = [rest[0] for word, *rest in lines(child) if word == "books"]
    assert ended(child, tmp_path / "stderr") == 0, (tmp_path / "stderr").read_text()
    check(json.loads(found), sent, acked)
    with closing(sqlite3.connect(tmp_path / "v.db")) as connection:
        items = [tuple(row) for row in connection.execute("SELECT teller, number FROM item")]
        assert connection.execute("SELECT count(*) FROM greenroom_message").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM greenroom_dead_letter").fetchone() == (0,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    entered = {tuple(entry) for entry in json.loads(found)["clerks"]}
    assert sorted(items) == sorted(entry for entry in entered if entry[1] % 11 == 0), "SQL and state are one"


def check(books: dict[str, Any], sent: set[tuple[int, int]], acked: set[tuple[int, int]]) -> None:
    clerks = [tuple(entry) for entry in books["clerks"]]
    ledger = [tuple(entry) for entry in books["ledger"]]
    assert not [entry for entry, count in Counter(clerks).items() if count > 1], "done twice"
    assert not [entry for entry, count in Counter(ledger).items() if count > 1], "its effect twice"
    assert set(clerks) == set(ledger), "state and sends are one"
    assert acked <= set(clerks), f"lost: {sorted(acked - set(clerks))}"
    assert set(clerks) <= sent, "out of nowhere"
    for teller in {entry[0] for entry in clerks}:
        for parity in (0, 1):  # one goes to the clerk, the other to the teller's own in the pool
            numbers = [number for who, number in clerks if who == teller and number % 2 == parity]
            assert numbers == sorted(numbers), "out of order"


def test_five_kills(victim: Victim, tmp_path: Path) -> None:
    told(victim, tmp_path, 5)


@pytest.mark.torture
@pytest.mark.timeout(900)
def test_a_hundred_kills(victim: Victim, tmp_path: Path) -> None:
    told(victim, tmp_path, 100)


# -- messages that take the process down ----------------------------------------------------------------


def lives(victim: Victim, *arguments: object, most: int = 12) -> tuple[list[int], list[list[str]]]:
    """Start it until it survives: the exit codes, and all it said."""
    codes: list[int] = []
    said: list[list[str]] = []
    for _ in range(most):
        child = victim("bomb", *arguments)
        said += lines(child)
        codes.append(ended(child))
        if codes[-1] == 0:
            return codes, said
    pytest.fail(f"it never survived: {codes} {said}")


def letters(tmp_path: Path) -> list[sqlite3.Row]:
    with closing(sqlite3.connect(tmp_path / "v.db")) as connection:
        connection.row_factory = sqlite3.Row
        return connection.execute("SELECT * FROM greenroom_dead_letter").fetchall()


@pytest.mark.parametrize(("how", "way"), [("kill", "told"), ("kill", "turn"), ("wait", "turn"), ("exit", "told")])
def test_a_message_that_kills_the_process_is_parked(victim: Victim, tmp_path: Path, how: str, way: str) -> None:
    """Once or twice in company, which charges nobody; then cornered, max_attempts times."""
    codes, said = lives(victim, how, way)
    bombs = [rest[0] for word, *rest in said if word == "bomb"]
    assert len(codes) == len(bombs) + 1
    assert 3 <= len(bombs) <= 5, said
    (letter,) = letters(tmp_path)
    assert (letter["type"], letter["cause"], letter["attempts"]) == ("Bomb", "crash", 3)
    assert letter["address"] == ("/v/bomber" if way == "told" else "/v/bomber2")
    (survived,) = [rest[0] for word, *rest in said if word == "survived"]
    assert json.loads(survived) == list(range(8)), "each innocent was handled, once"
    assert {rest[1] for word, *rest in said if word == "innocent"} == {"1"}, "and never charged"


def test_one_that_kills_it_once(victim: Victim, tmp_path: Path) -> None:
    codes, said = lives(victim, "once", "told")
    assert len(codes) == 2
    assert not letters(tmp_path)
    assert [rest[0] for word, *rest in said if word == "bomb"] == ["1", "1"], "a death in company is no charge"


def test_one_that_blocks_the_loop(victim: Victim, tmp_path: Path) -> None:
    """The watchdog ends the process, names the handler, and that message alone is charged."""
    codes, said = lives(victim, "hang", "told")
    assert set(codes[:-1]) == {75}
    assert len(codes) >= 4
    (letter,) = letters(tmp_path)
    assert (letter["type"], letter["cause"], letter["attempts"]) == ("Bomb", "hang", 3)
    assert "time.sleep(60)" in letter["traceback"]
    assert "/v/bomber was handling Bomb" in (tmp_path / "stderr").read_text()
    (survived,) = [rest[0] for word, *rest in said if word == "survived"]
    assert json.loads(survived) == list(range(8))
    assert {rest[1] for word, *rest in said if word == "innocent"} == {"1"}


# -- the end of the interpreter -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "code"),
    [("plain", 0), ("swallow", 0), ("thread", 0), ("exception", 4), ("interrupt", 1), ("no exit", None)],
)
def test_the_program_ends(victim: Victim, tmp_path: Path, how: str, code: int | None) -> None:
    """Whatever a handler does at that moment, and if `start` is never left."""
    child = victim("leave", how)
    found = ended(child, tmp_path / "stderr")
    assert child.stdout is not None
    assert "running" in child.stdout.read()
    if code is not None:
        expected = {code, -2, 130} if how == "interrupt" else {code}
        assert found in expected, (tmp_path / "stderr").read_text()
    with closing(sqlite3.connect(tmp_path / "v.db")) as connection:
        assert connection.execute("SELECT count(*) FROM greenroom_message").fetchone() == (1,), "it waits, uncharged"
        assert connection.execute("SELECT count(*) FROM greenroom_attempt").fetchone() == (0,)
