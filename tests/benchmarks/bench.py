"""Throughput and latency beside floors measured in the same run: `make bench`.

Every figure is the median of the rounds; floors and ours take turns, so that a machine whose speed drifts distorts
both alike.
Ratios are what counts, absolute figures are information.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import floors
import ours
from rich.console import Console
from rich.table import Table

TELLERS = 64
ACTORS = 100


class Line(NamedTuple):
    """One row of the table: `better` is the goal for ours/floor (or for ours, where there is no floor to it)."""

    what: str
    unit: str
    floor_name: str
    floor: float | None
    ours: float
    goal: str
    met: bool


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000, help="durable messages a round (default 100,000)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--folder", help="where the databases go: the disk to measure (default: a temporary folder)")
    options = parser.parse_args()
    console = Console(stderr=options.json)
    samples: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        for number in range(options.rounds):
            folder = Path(name) / str(number)
            folder.mkdir()
            for key, measure in _measures(folder, options.messages).items():
                console.print(f"round {number + 1} of {options.rounds}: {key} …", end=" ", highlight=False)
                gc.collect()
                values = measure()
                for part, value in values.items():
                    samples.setdefault(part, []).append(value)
                console.print("  ".join(f"{part} {value:,.0f}" for part, value in values.items()), highlight=False)
    middle = {part: statistics.median(values) for part, values in samples.items()}
    lines = _lines(middle)
    if options.json:
        print(json.dumps({"samples": samples, "median": middle, "lines": [line._asdict() for line in lines]}))
    else:
        _show(console, lines, options.rounds)
    return 0 if all(line.met for line in lines) else 1


def _measures(folder: Path, messages: int) -> dict[str, Callable[[], dict[str, float]]]:
    def tellers() -> dict[str, float]:
        rate, commits = asyncio.run(ours.tellers(folder, messages, TELLERS, ACTORS))
        return {"tellers": rate, "commits": commits}

    def memory_floor() -> dict[str, float]:
        tell, ask = asyncio.run(floors.bare_actor(200_000, 20_000))
        return {"bare tell": tell, "bare ask": ask}

    def memory() -> dict[str, float]:
        tell, ask = asyncio.run(ours.in_memory(200_000, 20_000))
        return {"memory tell": tell, "memory ask": ask}

    return {
        "plain sqlite3": lambda: {"plain": floors.plain_sqlite(folder, messages)},
        "group commit by hand": lambda: {"group": asyncio.run(floors.group_commit(folder, messages, TELLERS))},
        "64 tellers, 100 durable actors": tellers,
        "bulk": lambda: {"bulk": asyncio.run(ours.bulk(folder, messages, ACTORS))},
        "ring of 100 durable actors": lambda: {"ring": asyncio.run(ours.ring(folder, messages // 2, ACTORS))},
        "bare commit": lambda: {"bare commit": floors.bare_commit_us(folder)},
        "single awaited tell": lambda: {"single": asyncio.run(ours.single_tell_us(folder))},
        "bare deque and future": memory_floor,
        "in memory": memory,
    }


def _lines(m: dict[str, float]) -> list[Line]:
    def ratio(what: str, unit: str, name: str, floor: float, value: float, goal: float, *, less: bool = False) -> Line:
        met = value / floor <= goal if less else value / floor >= goal
        return Line(what, unit, name, floor, value, f"ratio {'≤' if less else '≥'} {goal:g}", met)

    def rate(what: str, name: str, floor: float, value: float, goal: float) -> Line:
        return Line(what, "msg/s", name, floor, value, f"≥ {goal:,.0f}", value >= goal)

    return [
        ratio(
            "64 awaiting tellers → 100 durable actors", "msg/s", "group commit by hand", m["group"], m["tellers"], 0.3
        ),
        ratio("the same", "msg/s", "plain sqlite3, batches of 64", m["plain"], m["tellers"], 0.0),
        ratio("told in bulk, durable", "msg/s", "group commit by hand", m["group"], m["bulk"], 0.0),
        ratio("ring of 100 durable actors", "hops/s", "group commit by hand", m["group"], m["ring"], 0.0),
        ratio(
            "one awaited tell, p50", "µs", "bare BEGIN, INSERT, COMMIT", m["bare commit"], m["single"], 3.0, less=True
        ),
        rate("tell in memory", "deque and future", m["bare tell"], m["memory tell"], 500_000),
        rate("ask in memory", "deque and future", m["bare ask"], m["memory ask"], 60_000),
    ]


def _show(console: Console, lines: list[Line], rounds: int) -> None:
    table = Table(title=f"understudy, medians of {rounds} rounds", caption=_machine())
    for name in ("what", "floor", "floor's", "ours", "unit", "ratio", "goal"):
        table.add_column(name, justify="left" if name in ("what", "floor", "goal", "unit") else "right")
    for line in lines:
        share = "" if line.floor is None else f"{line.ours / line.floor:.2f}"
        floor = "" if line.floor is None else f"{line.floor:,.0f}"
        goal = "" if line.goal.endswith("≥ 0") else f"{line.goal} {'✓' if line.met else '✗'}"
        table.add_row(line.what, line.floor_name, floor, f"{line.ours:,.0f}", line.unit, share, goal)
    console.print(table)


def _machine() -> str:
    return (
        f"CPython {platform.python_version()}, SQLite {sqlite3.sqlite_version}, WAL, synchronous=FULL, "
        f"{os.cpu_count()} cores, {sys.platform}"
    )


if __name__ == "__main__":
    sys.exit(main())
