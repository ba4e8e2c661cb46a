"""The part that the adapters share. Each is run by the Python of its peer's environment, gets its job as JSON in its
arguments, and prints one JSON object of rates."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

BODY = "x" * 80
BATCH = 64
FULL = 2
"""The answer of `pragma synchronous`."""


class Job(NamedTuple):
    folder: str
    """For databases: on the disk that ours are on."""
    tells: int
    asks: int
    messages: int
    """Durable ones."""


@cache
def job() -> Job:
    return Job(**json.loads(sys.argv[1]))


def database(name: str) -> str:
    """The path of a fresh database."""
    folder = Path(job().folder) / name
    folder.mkdir()
    return str(folder / f"{name}.db")


def report(**rates: float | None) -> None:
    """Print the rates, and end the process: some peers leave threads behind that never end."""
    print(json.dumps(rates), flush=True)
    os._exit(0)


def asks_per_s(ask: Callable[[], object]) -> float:
    asks = job().asks
    for _ in range(100):
        ask()
    began = perf_counter()
    for _ in range(asks):
        ask()
    return asks / (perf_counter() - began)


async def async_asks_per_s(ask: Callable[[], Awaitable[object]]) -> float:
    asks = job().asks
    for _ in range(100):
        await ask()
    began = perf_counter()
    for _ in range(asks):
        await ask()
    return asks / (perf_counter() - began)


def bodies() -> list[str]:
    """The bodies that ours are told, too."""
    return [json.dumps({"number": number, "body": BODY}) for number in range(job().messages)]


def end_to_end(produce: Callable[[], object], consume: Callable[[int], object]) -> float:
    """Messages/s from the first put to the last acknowledgement: first all are put, then all are handled.

    Both at once would be slower for most: two threads that fight for the GIL and for the database's lock.
    """
    messages = job().messages
    began = perf_counter()
    produce()
    consume(messages)
    return messages / (perf_counter() - began)


def sync_every_commit() -> None:
    """Have each commit synced, whatever a library leaves out. Called before the library is imported."""
    connect = sqlite3.connect

    def synced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.execute(f"pragma synchronous={FULL}")
        return connection

    sqlite3.connect = sqlite3.dbapi2.connect = synced  # type: ignore[assignment]


def check_full(*connections: sqlite3.Connection) -> None:
    """The disk is synced at each commit, or the comparison is none."""
    for connection in connections:
        found = connection.execute("pragma synchronous").fetchone()[0]
        assert found == FULL, f"synchronous is {found}"
