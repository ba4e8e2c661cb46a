"""A large backlog: how soon a node handles the first of a million messages, in how much memory, how fast it drains
them, and what they cost those who aren't concerned.

Each node is a process of its own, so that its memory is its own; `python backlog.py --messages 1_000_000` runs it all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from floors import BODY
from ours import Add, Counter, Total, silent

from greenroom import ChildSpec, SupervisorSpec, handler, start
from greenroom.actors.execution.dispatcher import Dispatcher
from greenroom.persistence.engines.sqlite.statements import insert
from greenroom.persistence.store.checksums import checksum
from greenroom.persistence.store.rows import MessageRow

KINDS = ("static", "pool", "blocked", "delayed")
"""To whom the backlog is: children that the tree names, children of a template, an actor that is stuck in its first
message, or nobody for the next year."""
TELLERS = 64
CHUNK = 1_000
WINDOWS = 7
"""In which tellers are measured beside a backlog; the median counts, of the best of so many processes each:"""
PROCESSES = 3
"""on a shared machine a whole process may run at half the speed of the next."""


class Stuck(Counter):
    """Never done with its first message."""

    stuck = asyncio.Event()

    @handler
    async def add(self, message: Add) -> None:
        Stuck.stuck.set()
        await asyncio.Event().wait()


class Timed(Counter):
    """Says when its first message is handled."""

    first = 0.0

    @handler
    def add(self, message: Add) -> None:
        if not Timed.first:
            Timed.first = time.time()
        self.state.total += 1


def tree(mailboxes: int) -> SupervisorSpec:
    return SupervisorSpec(
        id="bench",
        children=[
            *(ChildSpec(id=f"c{n}", actor=Timed) for n in range(mailboxes)),
            *(ChildSpec(id=f"fresh{n}", actor=Counter) for n in range(100)),
            ChildSpec(id="stuck", actor=Stuck, shutdown="brutal_kill"),
            SupervisorSpec(id="pool", strategy="dynamic", template=ChildSpec(id="member", actor=Timed)),
        ],
    )


def fill(path: Path, kind: str, messages: int, mailboxes: int) -> None:
    """A database with that many pending messages, by the product's own rows."""
    asyncio.run(_empty(path, mailboxes if kind == "static" else 1))
    uid, due = "f" * 20, time.time() + 365 * 86_400 if kind == "delayed" else None
    at = {"static": "/bench/c{}", "delayed": "/bench/c{}", "pool": "/bench/pool/member-{}", "blocked": "/bench/stuck"}

    def rows(first: int) -> Iterator[Any]:
        for number in range(first, first + CHUNK):
            address = at[kind].format(number % mailboxes)
            body = f'{{"$type":"Add","number":{number},"body":"{BODY}"}}'
            row = MessageRow(number, address, 0, due, f"{uid}{number:012x}", "", None, "Add", body)
            yield from row[:-1]
            yield checksum(row)

    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        for first in range(1, messages + 1, CHUNK):
            connection.execute(insert(MessageRow, CHUNK), list(rows(first)))
        connection.execute("UPDATE greenroom_owner SET last_id = ?", (messages,))
        connection.execute("COMMIT")


async def _empty(path: Path, mailboxes: int) -> None:
    async with start(tree(mailboxes), store=f"sqlite:///{path}", on_event=silent):
        pass


def memory_mb(name: str) -> float:
    """A figure of this process: VmRSS, or VmHWM for the highest so far."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise LookupError(name)


async def drain(path: Path, mailboxes: int, born: float) -> dict[str, float]:
    """Handle all of it. `born`: when the process was started, in epoch seconds."""
    began = time.time()
    async with start(tree(mailboxes), store=f"sqlite:///{path}", on_event=silent) as system:
        up = time.time()
        before = memory_mb("VmRSS")
        await system.idle()
        done = time.time()
        cpu_s = time.process_time()
        turns = system.kernel.part(Dispatcher).executor.turns
    return {
        "process to first s": Timed.first - born,
        "start to first s": Timed.first - began,
        "start to up s": up - began,
        "first to last s": done - Timed.first,
        "turns": turns,
        "CPU s": cpu_s,
        "up MB": before,
        "peak MB": memory_mb("VmHWM"),
    }


async def beside(path: Path, mailboxes: int, messages: int, born: float) -> dict[str, float]:
    """Messages/s of awaiting tellers to other actors, end to end, while the backlog lies there."""
    async with start(tree(mailboxes), store=f"sqlite:///{path}", on_event=silent) as system:
        refs = [system.ref(f"/bench/fresh{n}") for n in range(100)]

        async def tell(teller: int) -> None:
            for number in range(messages // TELLERS):
                await refs[(teller * 31 + number) % 100].tell(Add(number=number, body=BODY))

        await asyncio.gather(*(tell(teller) for teller in range(TELLERS)))  # warm
        await system.kernel.index.complete()
        await asyncio.gather(*(ref.ask(Total()) for ref in refs))  # what waited for that is handled
        rates = []
        for _ in range(WINDOWS):
            began = perf_counter()
            await asyncio.gather(*(tell(teller) for teller in range(TELLERS)))
            rates.append(messages // TELLERS * TELLERS / (perf_counter() - began))
        return {
            "msg/s": median(rates),
            "up MB": memory_mb("VmRSS"),
            "peak MB": memory_mb("VmHWM"),
        }


def in_process(what: str, path: Path, mailboxes: int, messages: int = 0) -> dict[str, float]:
    """`drain` or `beside` in a process of its own."""
    command = [sys.executable, __file__, "--what", what, "--path", str(path), "--mailboxes", str(mailboxes)]
    command += ["--messages", str(messages), "--born", repr(time.time())]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, cwd=Path(__file__).parent)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def drained(folder: Path, messages: int, mailboxes: int = 100, kind: str = "static") -> dict[str, float]:
    """The findings of `drain`, and the rate in messages/s from the first to the last."""
    path = folder / f"{kind}.db"
    fill(path, kind, messages, mailboxes)
    found = in_process("drain", path, mailboxes if kind == "static" else 1)
    with closing(sqlite3.connect(path)) as connection:
        left = connection.execute("SELECT count(*) FROM greenroom_message").fetchone()[0]
        totals = connection.execute("SELECT state FROM greenroom_actor WHERE type LIKE '%Timed'").fetchall()
    assert left == 0, f"{left} messages are left"
    total = sum(json.loads(state)["total"] for (state,) in totals if state != "null")
    assert total == messages, f"{total} of {messages} were handled"
    return {**found, "drain msg/s": messages / found["first to last s"]}


def disturbed(folder: Path, messages: int, tells: int = 20_000, kind: str = "blocked") -> dict[str, float]:
    """The findings of `beside` without a backlog and with one, and the share of throughput that is left."""
    empty, full = folder / "none.db", folder / f"{kind}.db"
    fill(empty, kind, 0, 1)
    fill(full, kind, messages, 1)
    alone, found = [], []
    for _ in range(PROCESSES):
        alone.append(in_process("beside", empty, 1, tells)["msg/s"])
        found.append(in_process("beside", full, 1, tells))
    beside = max(one["msg/s"] for one in found)
    return {
        "alone msg/s": max(alone),
        "beside msg/s": beside,
        "ratio": beside / max(alone),
        "peak MB": max(one["peak MB"] for one in found),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", default="all", help="all, drain-KIND or beside-KIND; KIND: " + ", ".join(KINDS))
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--mailboxes", type=int, default=100)
    parser.add_argument("--folder", help="where the databases go (default: a temporary folder)")
    parser.add_argument("--path", type=Path)
    parser.add_argument("--born", type=float, default=0.0)
    options = parser.parse_args()
    if options.what == "drain":
        print(json.dumps(asyncio.run(drain(options.path, options.mailboxes, options.born))))
        return
    if options.what == "beside":
        print(json.dumps(asyncio.run(beside(options.path, options.mailboxes, options.messages, options.born))))
        return
    jobs = {
        "drain-static": lambda folder: drained(folder, options.messages, options.mailboxes),
        "drain-pool": lambda folder: drained(folder, options.messages, options.mailboxes, "pool"),
        "beside-blocked": lambda folder: disturbed(folder, options.messages),
        "beside-delayed": lambda folder: disturbed(folder, options.messages, kind="delayed"),
    }
    for name, job in jobs.items():
        if options.what in ("all", name):
            with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                found = job(Path(folder))
            print(name, "  ".join(f"{key} {value:,.2f}" for key, value in found.items()), flush=True)


if __name__ == "__main__":
    main()
