"""kill -9 between monitors and exits: each monitor gives one Down, none is lost."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from processes import ended, environment, program

MOURNER = program("mourner.py")


@contextmanager
def mourner(folder: Path, mode: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    with (folder / "stderr").open("a") as stderr:
        child = subprocess.Popen(
            [sys.executable, "-W", "error", MOURNER, mode, str(folder / "m.db"), *map(str, arguments)],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


def said(child: subprocess.Popen[str]) -> Iterator[str]:
    assert child.stdout is not None
    for line in child.stdout:
        if line.endswith("\n"):  # the last one may be torn
            yield line.strip()


def mourned(folder: Path, kills: int) -> None:
    draw = random.Random(kills)
    for life in range(kills):
        left = draw.randrange(1, 40)
        with mourner(folder, "run", life) as child:
            for _ in said(child):
                left -= 1
                if not left:
                    child.kill()
            assert child.wait() == -9, (folder / "stderr").read_text()
    with mourner(folder, "books") as child:
        lines = list(said(child))
        assert ended(child, folder / "stderr") == 0, (folder / "stderr").read_text()
    (found,) = [line.removeprefix("books ") for line in lines if line.startswith("books ")]
    check(json.loads(found), at_least=kills)
    with closing(sqlite3.connect(folder / "m.db")) as connection:
        assert connection.execute("SELECT count(*) FROM greenroom_monitor").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM greenroom_message").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM greenroom_dead_letter WHERE type = 'Down'").fetchone() == (0,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def check(books: dict[str, dict[str, list[str]]], at_least: int) -> None:
    monitors = 0
    for address, book in books.items():
        heard = Counter(book["heard"])
        monitors += len(book["set"])
        twice = [monitor for monitor, count in heard.items() if count > 1]
        assert not twice, f"{address} was told twice of {twice}"
        assert not set(book["set"]) - set(heard), f"{address} lost Downs"
        assert not set(heard) - set(book["set"]), f"{address} was told of what it doesn't monitor"
    assert monitors >= at_least, "it was killed before anything happened"


def test_four_kills(tmp_path: Path) -> None:
    mourned(tmp_path, 4)


@pytest.mark.torture
@pytest.mark.timeout(900)
def test_a_hundred_kills(tmp_path: Path) -> None:
    mourned(tmp_path, 100)
