"""Index the standard library while the node is killed, hung and crashed; compare with a plain sequential pass.

    python examples/indexer/demo.py

The node runs under `greenroom run indexer.toml`, whose parent starts it again whenever it dies. This script watches the
database beside it, kills the node with SIGKILL at shares of the work done (`killer.py`), and in the end compares every
file's counts with `sequential.py`, which knows nothing of greenroom.

The exit status is 0 only if every promised kill came and no count differs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
from indexer import Allow, folders
from killer import Kill, Killer
from outside import Progress, connect, progress
from results import Comparison, Got, compare, read
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table
from sequential import walk

from greenroom import Client, StoreUnavailable

HERE = Path(__file__).resolve().parent
PROMISED = 5
KILLS = 6
"""One more than promised."""
LOOK_S = 0.003
TOLD_S = 3.0
"""Where there is no terminal for a progress bar, a line says how far it is."""
QUIET_S_MAX = 120.0
"""A node that commits nothing for so long, and isn't started again either, hangs."""
STOP_S_MAX = 60.0
UP = re.compile(r"is up: boot (\d+), (\d+) messages pending, (\d+) suspects")
"""The line in the log of a node that has recovered."""


class Demo:
    """One pass: a node that indexes everything, and dies again and again."""

    def __init__(
        self,
        database: Path,
        chosen: Sequence[str],
        *,
        kills: int = KILLS,
        command: Sequence[str] = (sys.executable, "-m", "greenroom", "run", str(HERE / "indexer.toml")),
    ) -> None:
        self.database = database
        self.folders = list(chosen)
        self.files = sum(1 for _ in walk(self.folders))
        self.killer = Killer(database, self.files, kills)
        self.last = Progress()
        self.log = database.with_suffix(".log")
        self._allowed = self.killer.allowed
        """So many files the scanner may hand out, as far as it was told."""
        self._before: Kill | None = None
        """The kill whose next life isn't up yet."""
        self._command = list(command)
        self._environment = os.environ | {
            "GREENROOM_STORE__URL": f"sqlite:///{quote(str(database))}",
            "INDEXER_FOLDERS": os.pathsep.join(self.folders),
            "INDEXER_FILES_AT_FIRST": str(self._allowed),
        }

    @property
    def finished(self) -> bool:
        """Every file was handed out, and no message is left."""
        return self._allowed > self.files and self.last.commits > 0 and self.last.waiting == 0

    def run(self, bars: Bars) -> int:
        """Let the node work, and kill it; returns the exit status of `greenroom run`."""
        bar = bars.add_task("greenroom", total=self.files, note="")
        with self.log.open("wb") as log:
            parent = subprocess.Popen(
                self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        connection: sqlite3.Connection | None = None
        told = moved = time.monotonic()
        try:
            while parent.poll() is None and not self.finished:
                time.sleep(LOOK_S)
                if connection is None and self.database.exists():
                    with suppress(sqlite3.OperationalError):
                        connection = connect(self.database)
                before = self.last
                if connection is not None:
                    self._look(connection, bars.console)
                note = f"life {self.last.boot}, {len(self.killer.kills)} kills"
                bars.update(bar, completed=self.last.done, note=note)
                now = time.monotonic()
                if not bars.console.is_terminal and now >= told + TOLD_S:
                    told = now
                    say(bars.console, f"  {self.last.done:,} of {self.files:,} files done; {note}")
                if self.last != before:
                    moved = now
                if now >= moved + QUIET_S_MAX:
                    say(bars.console, f"[bold red]the node has done nothing for {QUIET_S_MAX:g} s")
                    break
        finally:
            if connection is not None:
                connection.close()
            if parent.poll() is None:
                parent.terminate()
                try:
                    parent.wait(STOP_S_MAX)
                except subprocess.TimeoutExpired:
                    parent.kill()
        return parent.wait()

    def _look(self, connection: sqlite3.Connection, console: Console) -> None:
        try:
            self.last = progress(connection)
        except sqlite3.Error:
            return  # a node is just opening or closing the database, or has no tables yet
        if kill := self.killer.look(self.last, connection):
            say(console, f"  {kill}")
            self._before = kill
        if self._before is not None:
            self._tell_of_recovery(self._before, connection, console)
        if self._allowed != self.killer.allowed:
            with suppress(StoreUnavailable):  # then at the next look
                anyio.run(allow, self.database, self.killer.allowed)
                self._allowed = self.killer.allowed

    def _tell_of_recovery(self, kill: Kill, connection: sqlite3.Connection, console: Console) -> None:
        """Say what the next life did with the messages that were in flight, once it is up."""
        for found in UP.finditer(self.log.read_text(errors="replace")):
            boot, pending, _ = map(int, found.groups())
            if boot <= kill.boot:
                continue
            self._before = None
            suspects = [message.uid for message in kill.in_flight]
            marks = ", ".join("?" * len(suspects))
            charged = connection.execute(
                f"SELECT count(*) FROM greenroom_attempt WHERE uid IN ({marks})", suspects
            ).fetchone()[0]
            died = "" if boot == kill.boot + 1 else f" ({boot - kill.boot - 1} lives died in between, by bad files)"
            say(
                console,
                f"    life {boot} is up{died}: {pending:,} messages waited; the {len(suspects)} that were in "
                f"flight are run again, {charged} are charged",
            )
            return


async def allow(database: Path, files: int) -> None:
    """From another process than the node's. Whether a node runs or not, the message is on disk when this returns."""
    async with Client(f"sqlite:///{quote(str(database))}") as client:
        await client.tell("/indexer/scanner", Allow(files=files))


def say(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)


class Sequential:
    """The sequential pass, in a process of its own, meanwhile."""

    def __init__(self, chosen: Sequence[str], output: Path) -> None:
        self._output = output
        with output.open("wb") as file:
            self._process = subprocess.Popen([sys.executable, str(HERE / "sequential.py"), *chosen], stdout=file)

    def results(self) -> list[dict[str, Any]]:
        if self._process.wait():
            raise SystemExit("the sequential pass failed")
        return [json.loads(line) for line in self._output.read_text().splitlines()]


def report(console: Console, comparison: Comparison, got: Got) -> None:
    table = Table("", "expected", "got", "lost", "counted twice", title="the index beside a sequential pass")
    for line in comparison.lines:
        style = "" if line.lost == line.twice == 0 else "bold red"
        table.add_row(line.what, *(f"{n:,}" for n in (line.expected, line.got, line.lost, line.twice)), style=style)
    console.print(table)
    causes = Table("cause", "error", "files", "attempts", "named by the watchdog", title="dead letters by cause")
    attempts: dict[tuple[str, str], Counter[int]] = {}
    for letter in got.dead:
        attempts.setdefault((letter.cause, letter.error), Counter())[letter.attempts] += 1
    for key, number in sorted(comparison.causes.items()):
        named = {letter.named for letter in got.dead if (letter.cause, letter.error) == key and letter.named}
        causes.add_row(*key, str(number), ", ".join(map(str, sorted(attempts[key]))), "; ".join(sorted(named)))
    console.print(causes)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", help="what to index; default: the standard library and bad/")
    parser.add_argument("--kills", type=int, help=f"that must come; default: {KILLS}, of which {PROMISED} must come")
    parser.add_argument("--dir", type=Path, help="keep database and log there; must be empty or new")
    args = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory(prefix="indexer-") as temporary:
        folder = args.dir or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            console.print(f"{folder} isn't empty")
            return 2
        return run(console, folder.resolve(), args)


def run(console: Console, folder: Path, args: argparse.Namespace) -> int:
    began = time.monotonic()
    promised = PROMISED if args.kills is None else args.kills
    chosen = args.folders or folders()
    sequential = Sequential(chosen, folder / "sequential.jsonl")
    demo = Demo(folder / "indexer.db", chosen, kills=KILLS if args.kills is None else args.kills)
    say(console, f"{demo.files:,} files in {', '.join(demo.folders)}; at least {promised} kills are promised")
    with Bars(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        console=console,
    ) as bars:
        status = demo.run(bars)
        waiting = bars.add_task("sequential pass", total=None, note="")
        expected = sequential.results()
        bars.remove_task(waiting)
    if status:
        console.print(demo.log.read_text(errors="replace")[-4000:], highlight=False, markup=False)
        say(console, f"[bold red]greenroom run ended with status {status}")
        return 1
    got = read(demo.database)
    comparison = compare(expected, got)
    report(console, comparison, got)
    for wrong in comparison.wrong[:20]:
        say(console, f"[bold red]{wrong}")
    survived = len(demo.killer.kills)
    kept = survived >= promised
    say(
        console,
        f"kills survived: {survived} of at least {promised} · lives of the node: {demo.last.boot} · "
        f"commits: {demo.last.commits:,} · {time.monotonic() - began:.0f} s",
    )
    if not kept:
        say(console, f"[bold red]only {survived} kills hit the node at work: {promised} were promised")
    if not comparison.right:
        say(console, f"[bold red]{len(comparison.wrong)} things are wrong")
    if kept and comparison.right:
        say(console, "[bold green]every file was counted once; nothing is lost, nothing was counted twice")
    return 0 if kept and comparison.right else 1


if __name__ == "__main__":
    sys.exit(main())
