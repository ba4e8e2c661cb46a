"""Reads the results of a run with plain sqlite3, and compares them with those of the sequential pass."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from outside import connect

__all__ = ("Comparison", "DeadLetter", "Difference", "compare", "read")


@dataclass(frozen=True)
class DeadLetter:
    path: str
    cause: str
    error: str
    attempts: int
    text: str
    named: str
    """The handler that the watchdog named."""


@dataclass
class Got:
    """The results of a run."""

    files: dict[str, list[tuple[int, int, int]]] = field(default_factory=lambda: defaultdict(list))
    """By path, for each time it was counted: lines, classes, functions."""
    imports: dict[str, list[tuple[str, int]]] = field(default_factory=lambda: defaultdict(list))
    """By path: module and number."""
    sums: dict[str, int] = field(default_factory=dict)
    """The index actor's state."""
    dead: list[DeadLetter] = field(default_factory=list)
    waiting: int = 0


def read(database: Path) -> Got:
    got = Got()
    connection = connect(database)
    try:
        connection.execute("BEGIN")
        for path, lines, classes, functions, imports in connection.execute("SELECT * FROM indexed_file"):
            got.files[path].append((lines, classes, functions))
            got.imports[path] += json.loads(imports).items()
        for (state,) in connection.execute("SELECT state FROM greenroom_actor WHERE address = '/indexer/index'"):
            got.sums = json.loads(state)
        for body, cause, error, attempts, text, trace in connection.execute(
            "SELECT body, cause, error, attempts, text, traceback FROM greenroom_dead_letter"
        ):
            path = json.loads(body).get("path", body)
            named = trace.partition("\n")[0] if cause == "hang" else ""
            got.dead.append(DeadLetter(path, cause, error, attempts, text, named))
        got.waiting = connection.execute("SELECT count(*) FROM greenroom_message").fetchone()[0]
    finally:
        connection.close()
    return got


@dataclass
class Difference:
    """One line of the table."""

    what: str
    expected: int
    got: int
    lost: int
    twice: int


@dataclass
class Comparison:
    lines: list[Difference] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Each difference in words; empty if all is well."""
    causes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Dead letters by cause and error."""

    def add(self, what: str, expected: Mapping[Any, int], got: Mapping[Any, int]) -> None:
        """Compare numbers key by key, because a surplus of one key must not make up for a lack of another."""
        lost = sum(max(0, number - got.get(key, 0)) for key, number in expected.items())
        twice = sum(max(0, number - expected.get(key, 0)) for key, number in got.items())
        self.lines.append(Difference(what, sum(expected.values()), sum(got.values()), lost, twice))
        for key in expected.keys() | got.keys():
            if expected.get(key, 0) != got.get(key, 0):
                self.wrong.append(f"{what}: {key}: expected {expected.get(key, 0)}, got {got.get(key, 0)}")

    @property
    def right(self) -> bool:
        return not self.wrong


KINDS = ("lines", "classes", "functions")


def compare(expected: Iterable[Mapping[str, Any]], got: Got) -> Comparison:
    """Compare a run with the sequential pass.

    Args:
        expected: the results of `sequential.run`.
    """
    counted: dict[str, Mapping[str, Any]] = {}
    failing: Counter[tuple[str, str, str]] = Counter()
    for result in expected:
        if "cause" in result:
            failing[result["path"], result["cause"], result["error"]] += 1
        else:
            counted[result["path"]] = result
    comparison = Comparison()
    comparison.add("files", dict.fromkeys(counted, 1), {path: len(rows) for path, rows in got.files.items()})
    for place, kind in enumerate(KINDS):
        comparison.add(
            kind,
            {path: result[kind] for path, result in counted.items()},
            {path: sum(row[place] for row in rows) for path, rows in got.files.items()},
        )
    imports = {(path, module): times for path, result in counted.items() for module, times in result["imports"].items()}
    found: Counter[tuple[str, str]] = Counter()
    for path, rows in got.imports.items():
        for module, times in rows:
            found[path, module] += times
    comparison.add("imports", imports, found)
    comparison.add("imports by module", _by_module(imports), _by_module(found))
    sums = {"files": len(counted), **{kind: sum(file[kind] for file in counted.values()) for kind in KINDS}}
    comparison.add("sums in the actor's state", sums, got.sums)
    letters = Counter((letter.path, letter.cause, letter.error) for letter in got.dead)
    comparison.add("dead letters", failing, letters)
    for letter in got.dead:
        comparison.causes[letter.cause, letter.error] += 1
        if letter.cause == "hang" and " was handling " not in letter.named:
            comparison.wrong.append(f"the dead letter of {letter.path} names no handler: {letter.named!r}")
    if got.waiting:
        comparison.wrong.append(f"{got.waiting} messages are left in the mailboxes")
    return comparison


def _by_module(imports: Mapping[tuple[str, str], int]) -> Counter[str]:
    found: Counter[str] = Counter()
    for (_, module), times in imports.items():
        found[module] += times
    return found
