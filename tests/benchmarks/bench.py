"""Throughput and latency beside floors measured in the same run: `make bench`.

Every figure is the median of the rounds; floors and ours take turns, so that a machine whose speed drifts distorts
both alike.
Ratios are what counts, absolute figures are information. Goals that are absolute were set on a machine on which the
bare deque with a future answers 169,000 asks a second: on a slower one, or in a slow hour, they are scaled by what it
answers in this run.
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
import restarts
from rich.console import Console
from rich.table import Table

TELLERS = 64
ACTORS = 100
REFERENCE_ASKS = 169_000
"""Asks/s of the bare deque with a future, on the machine that the absolute goals were set on."""


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

    def restarting() -> dict[str, float]:
        rounds = 1_000
        return {
            "restart by hand": asyncio.run(restarts.by_hand_us(rounds)),
            "memory restart": asyncio.run(restarts.restart_us(restarts.FallsInMemory, "memory://", rounds)),
            "durable restart": asyncio.run(
                restarts.restart_us(restarts.Falls, f"sqlite:///{folder / 'restart.db'}", rounds)
            ),
        }

    def many() -> dict[str, float]:
        few, more = (asyncio.run(restarts.many_children_s(count)) for count in (1_000, 10_000))
        return {"1,000 children ms": few * 1e3, "10,000 children ms": more * 1e3}

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
        "restarts": restarting,
        "many children": many,
    }


def _lines(m: dict[str, float]) -> list[Line]:
    def ratio(what: str, unit: str, name: str, floor: float, value: float, goal: float, *, less: bool = False) -> Line:
        met = value / floor <= goal if less else value / floor >= goal
        return Line(what, unit, name, floor, value, f"ratio {'≤' if less else '≥'} {goal:g}", met)

    speed = min(1.0, m["bare ask"] / REFERENCE_ASKS)

    def rate(what: str, name: str, floor: float, value: float, goal: float) -> Line:
        text = f"≥ {goal:,.0f} × {speed:.2f} = {goal * speed:,.0f}"
        return Line(what, "msg/s", name, floor, value, text, value >= goal * speed)

    def within(what: str, name: str, floor: float, value: float, goal: float) -> Line:
        return Line(
            what, "µs", name, floor, value, f"≤ {goal:g} / {speed:.2f} = {goal / speed:.0f}", value <= goal / speed
        )

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
        within("restart in memory, p50", "a task by hand", m["restart by hand"], m["memory restart"], 40),
        within("restart, durable with state, p50", "a task by hand", m["restart by hand"], m["durable restart"], 60),
        ratio(
            "start and stop 10,000 children",
            "ms",
            "1,000 children",
            m["1,000 children ms"],
            m["10,000 children ms"],
            12,
            less=True,
        ),
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
