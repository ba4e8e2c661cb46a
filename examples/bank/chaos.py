"""Kill the bank's node with SIGKILL, again and again, and audit the books each time.

    python examples/bank --chaos --kills 200

The parent starts a node (`life.py`) with tellers. They make transfers, and acknowledge each on a pipe once its receipt
is there. After a random number of acknowledgements (or, for some, while it starts) the parent kills the node. Then it
reads the pipe to its end, writes every acknowledgement to a log, syncs that to the disk, and audits the database
(`audit.py`). In the end a last node handles the messages that are left.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from audit import Findings, audit
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

HERE = Path(__file__).resolve().parent
OPENING = 1000
"""As bank.toml says."""
READY_S_MAX = 60.0
SETTLE_S_MAX = 120.0
EARLY = 0.15
"""The part of the kills that falls into the start of the node, while it recovers from the last kill."""
TRANSFERS_MAX = 120
"""A kill comes after at most so many transfers of a life."""
LIFE_S_MAX = 60.0


@dataclass
class Tally:
    """The findings of all audits together."""

    kills: int = 0
    early: int = 0
    """Kills before the node was ready. Each other kill hit tellers at work."""
    working: int = 0
    """Kills of a node whose tellers had made transfers in that life."""
    amid: int = 0
    """Kills after which messages were on their way."""
    acknowledged: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    twice: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    last: Findings = field(default_factory=Findings)

    def add(self, findings: Findings) -> None:
        self.last = findings
        self.lost.update(findings.lost)
        self.twice.update(findings.twice)
        self.broken.update(findings.broken)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.twice or self.broken)


class Node:
    """One life of the node, and the pipe on which it speaks."""

    def __init__(self, command: Sequence[str], stderr: Path) -> None:
        with stderr.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        self.lines: list[str] = []
        self._rest = b""
        assert self.process.stdout is not None
        self._pipe = self.process.stdout.fileno()
        os.set_blocking(self._pipe, False)

    def read(self) -> bool:
        """Read the lines that are in the pipe; False at its end."""
        while True:
            try:
                chunk = os.read(self._pipe, 1 << 16)
            except BlockingIOError:
                return True
            if not chunk:
                return False
            *whole, self._rest = (self._rest + chunk).split(b"\n")
            self.lines += [line.decode() for line in whole]

    def watch(self, until_s: float, line: str | None = None, transfers: int | None = None) -> bool:
        """Read until a moment (of the monotonic clock), or until a line or so many acknowledgements are there.

        False if the process ended.
        """
        while time.monotonic() < until_s:
            if not self.read():
                return False
            if line is not None and line in self.lines:
                return True
            if transfers is not None and len(self.acknowledged) >= transfers:
                return True
            time.sleep(0.002)
        return True

    def kill(self) -> bool:
        """SIGKILL; then read its last lines. False if the process had ended by itself before."""
        self.process.send_signal(signal.SIGKILL)
        status = self.process.wait()
        self.read()
        self.close()
        return status == -signal.SIGKILL

    def close(self) -> None:
        assert self.process.stdout is not None
        self.process.stdout.close()

    @property
    def acknowledged(self) -> list[str]:
        return [line.removeprefix("ack ") for line in self.lines if line.startswith("ack ")]


class Chaos:
    """The parent."""

    def __init__(
        self,
        folder: Path,
        *,
        seed: int,
        accounts: int = 50,
        tellers: int = 8,
        node: Sequence[str] = (sys.executable, str(HERE / "life.py")),
    ) -> None:
        self.folder = folder
        self.database = folder / "bank.db"
        self.stderr = folder / "node.log"
        self.seed = seed
        self.accounts = accounts
        self.tellers = tellers
        self.node = node
        self.tally = Tally()
        self.lives = 0
        self.opened = False
        self._random = random.Random(seed)
        self._start_s = 0.5
        """Seconds from a node's `starting` to its `ready`, as seen so far."""
        self._log = (folder / "acknowledged.log").open("a")

    def kill_once(self) -> Findings:
        """One life, one kill, one audit."""
        tally = self.tally
        node = self._start()
        alive = self._wait_for(node, "starting")  # a kill amid Python's imports would hit nothing of ours
        began = time.monotonic()
        if alive and self.opened and self._random.random() < EARLY:
            alive = node.watch(began + self._random.uniform(0.0, self._start_s), "ready")
            working = "ready" in node.lines  # it was faster: then this is a kill like any other
        else:
            working = True
        if alive and working:
            alive = self._wait_for(node, "ready" if self.opened else "opened")
            self._start_s += (time.monotonic() - began - self._start_s) * 0.3
            self.opened = True
            transfers = self._random.randint(1, TRANSFERS_MAX)  # by progress: a slow node is at work by then, too
            alive = alive and node.watch(time.monotonic() + LIFE_S_MAX, transfers=transfers)
            if alive and len(node.acknowledged) < transfers:
                node.kill()
                raise NodeFailedError(
                    f"the node acknowledged {len(node.acknowledged)} of {transfers} transfers within {LIFE_S_MAX:g} s",
                    self.stderr,
                )
        if not node.kill() or not alive:
            raise NodeFailedError(f"the node ended by itself, with status {node.process.returncode}", self.stderr)
        tally.kills += 1
        tally.working += working
        tally.early += not working
        findings = self._audit(node)
        tally.amid += findings.waiting > 0
        return findings

    def _wait_for(self, node: Node, line: str) -> bool:
        """Read until the line is there; False if the process ended."""
        alive = node.watch(time.monotonic() + READY_S_MAX, line)
        if alive and line not in node.lines:
            node.kill()
            raise NodeFailedError(f"the node wasn't {line} within {READY_S_MAX:g} s", self.stderr)
        return alive

    def settle(self) -> Findings:
        """A last life that handles the messages that are left. Afterwards nothing may be on its way."""
        node = self._start("--settle")
        if node.watch(time.monotonic() + SETTLE_S_MAX):
            node.kill()
            raise NodeFailedError(f"the last node didn't settle within {SETTLE_S_MAX:g} s", self.stderr)
        if node.process.wait():
            raise NodeFailedError(f"the last node ended with status {node.process.returncode}", self.stderr)
        node.close()
        findings = self._audit(node)
        if findings.waiting:
            self.tally.broken.add(f"{findings.waiting} messages are on their way after all is settled")
        return findings

    def close(self) -> None:
        self._log.close()

    def _start(self, *options: str) -> Node:
        self.lives += 1
        command = [
            *self.node,
            *("--store", f"sqlite:///{quote(str(self.database))}", "--seed", str(self.seed), "--life", str(self.lives)),
            *("--accounts", str(self.accounts), "--tellers", str(self.tellers)),
            *([] if self.opened else ["--open"]),
            *options,
        ]
        return Node(command, self.stderr)

    def _audit(self, node: Node) -> Findings:
        acknowledged = node.acknowledged
        self._log.writelines(f"{transfer}\n" for transfer in acknowledged)
        self._log.flush()
        os.fsync(self._log.fileno())
        self.tally.acknowledged.update(acknowledged)
        if not self.database.exists():
            return Findings()
        findings = audit(
            self.database,
            self.tally.acknowledged,
            accounts=self.accounts if self.opened else 0,
            opening=OPENING,
        )
        self.tally.add(findings)
        return findings


class NodeFailedError(Exception):
    def __init__(self, why: str, log: Path) -> None:
        tail = log.read_text(errors="replace").splitlines()[-30:] if log.exists() else []
        super().__init__("\n".join((f"{why}; it said:", *tail)))


def run(chaos: Chaos, kills: int, console: Console) -> bool:
    """Kill, audit, show; whether all went well."""
    tally = chaos.tally
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("kills · {task.fields[acknowledged]} transfers acknowledged · {task.fields[wrong]} wrong"),
        TimeElapsedColumn(),
        console=console,
    ) as progress:
        task = progress.add_task("chaos", total=kills, acknowledged=0, wrong=0)
        while tally.kills < kills:
            findings = chaos.kill_once()
            for line in findings.lines():
                progress.console.print(f"[red]after kill {tally.kills}:[/] {line}")
            progress.update(
                task,
                completed=tally.kills,
                acknowledged=f"{len(tally.acknowledged):,}",
                wrong=len(tally.lost) + len(tally.twice) + len(tally.broken),
            )
            if not findings.clean:
                break
        progress.update(task, description="settling")
        for line in chaos.settle().lines():
            progress.console.print(f"[red]in the end:[/] {line}")
    console.print(table(tally, kills))
    return tally.clean and tally.kills == kills


def table(tally: Tally, kills: int) -> Table:
    last = tally.last
    found = Table("", "expected", "got", title="bank under chaos")
    rows: list[tuple[str, int | None, int]] = [
        ("kills survived", kills, tally.kills),
        ("  while the node started", None, tally.early),
        ("  while the tellers made transfers", None, tally.working),
        ("  with messages on their way", None, tally.amid),
        ("transfers acknowledged", None, len(tally.acknowledged)),
        ("  refused, as overdrawn", None, last.refused),
        ("  lost", 0, len(tally.lost)),
        ("  applied twice", 0, len(tally.twice)),
        ("invariant violations", 0, len(tally.broken)),
        ("money in the bank", last.accounts * OPENING, last.money),
        ("messages left", 0, last.waiting),
        ("commits", None, last.commits),
    ]
    for name, expected, got in rows:
        right = expected is None or expected == got
        found.add_row(
            name,
            "" if expected is None else f"{expected:,}",
            f"{got:,}" if right else f"[bold red]{got:,}[/]",
        )
    return found


def arguments(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, help="default: a random one, which is printed")
    parser.add_argument("--accounts", type=int, default=50)
    parser.add_argument("--tellers", type=int, default=8)
    parser.add_argument("--dir", type=Path, help="keep the database and the logs there; must be empty or new")


def main(args: argparse.Namespace) -> int:
    console = Console()
    seed = random.SystemRandom().randrange(10**6) if args.seed is None else args.seed
    with _folder(args.dir) as folder:
        console.print(f"{args.kills} kills, seed {seed}, in {folder}")
        chaos = Chaos(folder, seed=seed, accounts=args.accounts, tellers=args.tellers)
        try:
            right = run(chaos, args.kills, console)
        except NodeFailedError as error:
            console.print(f"[bold red]{error}[/]", highlight=False)
            right = False
        finally:
            chaos.close()
        if not right and args.dir is None:
            kept = Path(tempfile.mkdtemp(prefix="bank-chaos-"))
            for file in folder.iterdir():
                file.rename(kept / file.name)
            console.print(f"what is left for a look: {kept}")
    return 0 if right else 1


@contextmanager
def _folder(chosen: Path | None) -> Iterator[Path]:
    if chosen is None:
        with tempfile.TemporaryDirectory(prefix="bank-") as folder:
            yield Path(folder)
        return
    chosen.mkdir(parents=True, exist_ok=True)
    if any(chosen.iterdir()):
        raise SystemExit(f"{chosen} isn't empty")
    yield chosen.resolve()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments(parser)
    sys.exit(main(parser.parse_args()))
