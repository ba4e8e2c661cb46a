"""Index the standard library while the node is killed, hung and crashed; compare with a plain sequential pass.

    python examples/indexer/demo.py

The node runs under `greenroom run indexer.toml --until-idle`, whose parent starts it again whenever it dies. This
script watches the database beside it, kills the node with SIGKILL after counted commits amid its work, and in
the end compares every file's counts with `sequential.py`, which knows nothing of greenroom.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from indexer import folders
from results import Comparison, Got, Progress, compare, connect, progress, read
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table
from sequential import walk

HERE = Path(__file__).resolve().parent
KILLS = 6
KILLS_MIN = 5
ROUNDS_MAX = 3
"""A machine that is too fast for so many kills indexes everything again."""
COMMITS = (3, 25)
"""A kill comes so many commits after the node has begun its life, at least and at most."""
LOOK_S = 0.003
TOLD_S = 5.0
"""Where there is no terminal for a progress bar, a line says how far it is."""
RUN_S_MAX = 300.0


@dataclass(frozen=True)
class Kill:
    """One SIGKILL, and what it hit."""

    boot: int
    commits: int
    """The node's commits in that life."""
    left: int
    """Files that weren't done."""
    waiting: int
    """Messages that were in the mailboxes."""


class Killer:
    """Decides when the node dies: spread over the work, and a counted number of commits into a life."""

    def __init__(self, kills: int, files: int, seed: int) -> None:
        self.kills: list[Kill] = []
        self._wanted = kills
        self._random = random.Random(seed)
        self._files = files
        self._done = 0
        """Files that were done at the last kill."""
        self._boot = 0
        self._began = 0
        self._after = 0
        self._dead = False
        """Whether this boot's node was killed already."""

    def look(self, now: Progress) -> bool:
        """Whether the node has to die now."""
        if now.boot != self._boot:
            self._boot, self._began, self._dead = now.boot, now.commits, False
            self._after = self._random.randint(*COMMITS)
        to_come = self._wanted - len(self.kills)
        if self._dead or to_come <= 0 or now.commits - self._began < self._after:
            return False
        part = (self._files - self._done) / (to_come + 1) / 2  # at least so much work between two kills
        return self._done + part <= now.indexed + now.dead < self._files

    def killed(self, after: Progress) -> Kill | None:
        """Count a kill, if it hit a node that had work to do."""
        self._dead = True
        left = self._files - after.indexed - after.dead
        if after.boot != self._boot or left <= 0:
            return None
        self._done = self._files - left
        self.kills.append(Kill(after.boot, after.commits - self._began, left, after.waiting))
        return self.kills[-1]


class Demo:
    def __init__(
        self,
        database: Path,
        chosen: Sequence[str],
        *,
        kills: int = KILLS,
        seed: int = 0,
        command: Sequence[str] = (
            sys.executable,
            "-m",
            "greenroom",
            "run",
            str(HERE / "indexer.toml"),
            "--until-idle",
        ),
    ) -> None:
        self.database = database
        self.folders = list(chosen)
        self.files = sum(1 for _ in walk(self.folders))
        self.killer = Killer(kills, self.files, seed)
        self.last = Progress()
        self.log = database.with_suffix(".log")
        self._command = list(command)
        self._environment = os.environ | {
            "GREENROOM_STORE__URL": f"sqlite:///{database}",
            "INDEXER_FOLDERS": os.pathsep.join(self.folders),
        }

    def run(self, bars: Bars) -> int:
        """Let the node work, and kill it; returns the exit status of `greenroom run`."""
        bar = bars.add_task("greenroom", total=self.files, note="")
        with self.log.open("wb") as log:
            parent = subprocess.Popen(
                self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        connection: sqlite3.Connection | None = None
        told = time.monotonic()
        deadline = told + RUN_S_MAX
        try:
            while parent.poll() is None and time.monotonic() < deadline:
                time.sleep(LOOK_S)
                if connection is None and self.database.exists():
                    with suppress(sqlite3.OperationalError):
                        connection = connect(self.database)
                if connection is not None:
                    self._look(connection, bars)
                    done = self.last.indexed + self.last.dead
                    note = f"boot {self.last.boot}, {len(self.killer.kills)} kills"
                    bars.update(bar, completed=done, note=note)
                    if not bars.console.is_terminal and time.monotonic() >= told + TOLD_S:
                        told = time.monotonic()
                        bars.console.print(f"  {done:,} of {self.files:,} files; {note}", highlight=False)
            bars.update(bar, completed=self.last.indexed + self.last.dead)
        finally:
            if connection is not None:
                connection.close()
            if parent.poll() is None:
                parent.terminate()
                try:
                    parent.wait(60)
                except subprocess.TimeoutExpired:
                    parent.kill()
        return parent.wait()

    def _look(self, connection: sqlite3.Connection, bars: Bars) -> None:
        try:
            self.last = now = progress(connection)
        except sqlite3.Error:
            return  # a node is just opening or closing the database
        if not self.killer.look(now):
            return
        with suppress(ProcessLookupError):
            os.kill(now.pid, signal.SIGKILL)
        _wait_for_end(now.pid)
        if kill := self.killer.killed(progress(connection)):
            bars.console.print(
                f"  kill -9 of boot {kill.boot} after its {kill.commits}. commit: "
                f"{kill.left:,} files to go, {kill.waiting:,} messages in the mailboxes",
                highlight=False,
            )


def _wait_for_end(pid: int) -> None:
    """Until it is gone, or another process's zombie; it has been killed already."""
    for _ in range(1000):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except OSError:
            return
        time.sleep(0.001)


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


def report(console: Console, comparison: Comparison, got: Got, demo: Demo) -> None:
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
    console.print(
        f"kills survived: {len(demo.killer.kills)} · boots of the node: {demo.last.boot} · "
        f"commits: {demo.last.commits:,}",
        highlight=False,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", help="what to index; default: the standard library and bad/")
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seed", type=int, default=0, help="of the numbers of commits before the kills")
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
    chosen = args.folders or folders()
    survived = 0
    sequential = Sequential(chosen, folder / "sequential.jsonl")
    for round_ in range(1, ROUNDS_MAX + 1):
        kills = args.kills - survived
        demo = Demo(folder / f"indexer{round_}.db", chosen, kills=kills, seed=args.seed + round_)
        console.print(f"{demo.files:,} files in {', '.join(demo.folders)}", highlight=False)
        comparison = once(console, demo, sequential)
        survived += len(demo.killer.kills)
        if comparison is None or not comparison.right or survived >= min(args.kills, KILLS_MIN):
            break
        console.print(f"only {survived} kills have hit the node at work; once more")
    right = comparison is not None and comparison.right
    if right and survived < min(args.kills, KILLS_MIN):
        console.print(f"[bold red]only {survived} kills have hit the node at work, of {args.kills}")
        right = False
    console.print(f"{time.monotonic() - began:.0f} s", highlight=False)
    return 0 if right else 1


def once(console: Console, demo: Demo, sequential: Sequential) -> Comparison | None:
    """Index everything once, and compare; None if the node gave up."""
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
        console.print(f"[bold red]greenroom run ended with status {status}")
        return None
    got = read(demo.database)
    comparison = compare(expected, got)
    report(console, comparison, got, demo)
    for wrong in comparison.wrong[:20]:
        console.print(f"[bold red]{wrong}", highlight=False)
    return comparison


if __name__ == "__main__":
    sys.exit(main())
