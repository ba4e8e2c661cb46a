"""kill -9 in the middle of a restart storm, and again: the same children, none twice, and no `Down` lost."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from processes import ended, environment, program

STORM = program("storm.py")
Storm = Callable[..., "subprocess.Popen[str]"]
STATIC = {"/s/all/a", "/s/all/b", "/s/rest/a", "/s/rest/b"}


@pytest.fixture
def storm(tmp_path: Path) -> Iterator[Storm]:
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        with (tmp_path / "stderr").open("a") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-W", "error", STORM, str(tmp_path / "s.db"), *map(str, arguments)],
                env=environment(),
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


class Heard:
    """The lines that all lives have said, each that was whole."""

    def __init__(self) -> None:
        self.said: dict[str, list[str]] = {"asked": [], "acked": [], "ending": [], "ended": [], "watched": []}

    def number(self) -> int:
        return 1 + max((int(address.rpartition("/")[2]) for address in self.said["asked"]), default=0)

    def listen(self, process: subprocess.Popen[str], kill_after: int, kill_at: str) -> None:
        """Kill it after so many lines, at the moment when it says a word; what it had said before the end counts."""
        assert process.stdout is not None
        for count, line in enumerate(process.stdout):
            if count >= kill_after and line.startswith(kill_at):
                process.kill()
            if line.endswith("\n") and line != "up\n":  # the last one may be torn
                word, address = line.split()
                self.said[word].append(address)
        process.wait()


def through(storm: Storm, tmp_path: Path, kills: int) -> None:
    draw = random.Random(kills)
    heard = Heard()
    for _ in range(kills):
        process = storm(heard.number())
        after = draw.randrange(5, 50)
        heard.listen(process, *draw.choice(((0, "up"), (after, "asked"), (after, "acked"), (after, "ended"))))
        assert process.returncode == -9, (tmp_path / "stderr").read_text()
    process = storm()
    assert process.stdout is not None
    (found,) = [line.partition(" ")[2] for line in process.stdout if line.startswith("found ")]
    assert ended(process, tmp_path / "stderr") == 0, (tmp_path / "stderr").read_text()
    assert heard.said["acked"], "nothing happened"
    with closing(sqlite3.connect(tmp_path / "s.db")) as connection:
        check(json.loads(found), heard.said, connection)


def check(found: dict[str, Any], said: dict[str, list[str]], connection: sqlite3.Connection) -> None:
    children = {address: status for address, status in found["children"].items() if is_child(address)}
    rows = connection.execute(
        "SELECT supervisor, id, position FROM greenroom_child ORDER BY supervisor, position"
    ).fetchall()
    on_record = [f"{supervisor}/{child}" for supervisor, child, _ in rows]
    assert len({(supervisor, position) for supervisor, _, position in rows}) == len(rows), "two in one place"

    assert {supervisor for supervisor, _, _ in rows} - {""} <= set(on_record), "below what was deleted"

    # The children that there are to be.
    ending, ended = set(said["ending"]), set(said["ended"])
    expected = STATIC | set(said["acked"]) - ending
    allowed = STATIC | set(said["asked"]) - ended
    assert expected <= children.keys(), f"lost: {expected - children.keys()}"
    assert children.keys() <= allowed, f"out of nowhere: {children.keys() - allowed}"
    assert {children[address] for address in expected} == {"running"}
    assert [address for address in on_record if is_child(address)] == sorted(
        children, key=lambda address: (address.rpartition("/")[0], list(children).index(address))
    )
    for address in expected:
        if address.startswith("/s/one/"):
            assert [found["children"].get(f"{address}/{child}") for child in "xy"] == ["running", "running"]
    for supervisor in ("/s/all", "/s/rest", "/s/crew", "/s/one"):
        started = [address for address in said["acked"] if address in children and address.startswith(supervisor)]
        assert started == [address for address in children if address in set(started)], "not in start order"

    # The Downs: each monitor gave one.
    chains: dict[str, Any] = {}
    for watcher in found["watchers"]:
        assert not watcher["strange"], "a Down twice, or out of nowhere"
        chains |= watcher["chains"]
    assert set(said["watched"]) <= chains.keys(), "a Watch was lost"
    lost = {target: chain for target, chain in chains.items() if chain["asked"] != chain["heard"] or chain["monitor"]}
    assert not lost, f"Downs were lost: {lost}"
    assert connection.execute("SELECT watcher, target FROM greenroom_monitor").fetchall() == []
    assert connection.execute("SELECT address FROM greenroom_message WHERE type = 'Down'").fetchall() == []

    # The exits: each was once, in the commit that counted it.
    for target, tally in found["tallies"].items():
        asked = chains[target]["asked"] if target in chains else 0
        numbers = range(1, asked + 1)
        expectation = {"count": asked, "total": sum(numbers), "squares": sum(number**2 for number in numbers)}
        assert tally == expectation, target
    assert sum(chain["heard"] for chain in chains.values()) > 5 * len(chains), "no storm"
    # A Quit that was on its way to a child when the child was deleted is a dead letter.
    letters = connection.execute("SELECT address, cause, type FROM greenroom_dead_letter").fetchall()
    assert [letter for letter in letters if letter[0] not in ending or letter[1:] != ("no_actor", "Quit")] == []
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def is_child(address: str) -> bool:
    """Of the four supervisors, not of what stands below those."""
    return address.count("/") == 3 and not address.startswith("/s/watch/")


def test_four_kills(storm: Storm, tmp_path: Path) -> None:
    through(storm, tmp_path, 4)


@pytest.mark.torture
@pytest.mark.timeout(1800)
def test_a_hundred_kills(storm: Storm, tmp_path: Path) -> None:
    through(storm, tmp_path, 100)
