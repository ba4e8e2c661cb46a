"""Kills a victim, again and again, at random moments of its life: while it boots, recovers, migrates, works and closes.

Now and then it is stopped for a moment before (SIGSTOP, SIGCONT), or killed while it stands still. Its words
up to its death come through a pipe, so they count; a line that isn't whole doesn't, whatever it says.
"""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from havoc_judge import Findings, Said, judge
from processes import environment
from pulse import LOOK_S, Pulse
from stacks import ask_for_stacks

__all__ = ("Havoc",)

HERE = Path(__file__).parent
WORK_S_MAX = 0.25
"""How long a life works, at most, after it is up."""
CLOSE_S_MAX = 0.03
PAUSE_S_MAX = 0.06
BOOT, MIGRATION, CLOSE = 0.2, 0.06, 0.15
"""The parts of the kills that fall into the boot, into one with an old schema, and into the close."""


class Process:
    """Something that says lines."""

    def __init__(self, script: str, *arguments: object, stderr: Path) -> None:
        with stderr.open("a") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error::ResourceWarning", str(HERE / script), *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment(),
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._in, self._out = self.process.stdin, self.process.stdout
        self._rest = b""

    def write(self, line: str) -> None:
        self._in.write(f"{line}\n".encode())
        self._in.flush()

    def lines(self, until_s: float) -> list[list[str]] | None:
        """The victim's next words, at least a line, or nothing by that moment of the monotonic
        clock; None at the end."""
        while True:
            ready, _, _ = select.select([self._out], [], [], max(0.0, until_s - time.monotonic()))
            if not ready:
                return []
            chunk = os.read(self._out.fileno(), 1 << 16)
            if not chunk:
                return None
            *whole, self._rest = (self._rest + chunk).split(b"\n")
            if whole:
                return [line.decode().split() for line in whole]

    def finish(self) -> list[list[str]]:
        """Close its standard input, and read to the end."""
        self._in.close()
        said: list[list[str]] = []
        while (lines := self.lines(time.monotonic() + LOOK_S)) is not None:
            said += lines
        return said

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._in.close()
        self._out.close()


class Havoc:
    """One database and the lives of its node."""

    def __init__(self, folder: Path, seed: int, *bugs: str) -> None:
        self.path = folder / "havoc.db"
        self.errors = folder / "stderr"
        self.said = Said()
        self.kills = 0
        self.where: Counter[str] = Counter()
        """At what the kills hit it."""
        self._draw = random.Random(seed)
        self._seed = seed
        self._lives = 0
        self._boot_s = 0.05
        self._phase = ""
        """The latest that the child has told of itself."""
        self._heard: set[str] = set()
        self._child = 0
        self._status: int | None = None
        self._victim = Process("havoc_victim.py", self.path, seed, *bugs, stderr=self.errors)
        self._clients = 0
        self._client = self._new_client()

    def kill(self) -> None:
        """One life, and its end."""
        kills = self.kills
        for _ in range(20):
            self._live()
            if self.kills > kills:
                return
        raise AssertionError("it has always been too late")

    def settle(self) -> Findings:
        """A last life that finishes everything; what is wrong."""
        self._victim.write("settle")
        self._until("up")
        self._hear_client(self._client.finish())
        quiet = self.path.with_suffix(".quiet")
        quiet.touch()
        self._until("died")
        stuck = "stuck" in self._heard
        quiet.unlink()
        assert self._status == 0, f"the last life ended with {self._status}: {self.tail()}"
        found = judge(self.path, self.said)
        if stuck:
            found.lost.append("the timer that would have brought the next link")
        self._client.close()
        self._client = self._new_client()
        return found

    def _new_client(self) -> Process:
        self._clients += 1
        return Process("havoc_client.py", self.path, f"client{self._clients}", stderr=self.errors)

    def tail(self) -> str:
        return self.errors.read_text()[-30_000:]

    def close(self) -> None:
        self._signal(signal.SIGKILL)
        self._victim.close()
        self._client.close()

    # -- one life ------------------------------------------------------------------------------------------

    def _live(self) -> None:
        draw = self._draw
        self._lives += 1
        choice, leave_after_s = draw.random(), 0.0
        phase, after_s = "up", draw.uniform(0.0, WORK_S_MAX)
        if choice < BOOT + MIGRATION:
            phase, after_s = "born", draw.uniform(0.0, self._boot_s * 1.1)
            if choice < MIGRATION and self.path.exists():
                self._victim.write("downgrade")
                self._until("downgraded")
                after_s = draw.uniform(0.0, self._boot_s * 2)
        elif choice < BOOT + MIGRATION + CLOSE:
            phase, leave_after_s, after_s = "closing", draw.uniform(0.01, WORK_S_MAX), draw.uniform(0.0, CLOSE_S_MAX)
        began = time.monotonic()
        self._victim.write(f"live {self._lives} {leave_after_s}")
        self._until(phase)
        if phase == "up":
            self._boot_s += (time.monotonic() - began - self._boot_s) * 0.2
        self._wait(after_s)
        stopped = False
        if draw.random() < 0.25 and self._child:
            self._signal(signal.SIGSTOP)
            self._wait(draw.uniform(0.0, PAUSE_S_MAX))
            stopped = draw.random() < 0.3
            if not stopped:
                self._signal(signal.SIGCONT)
                self._wait(draw.uniform(0.0, WORK_S_MAX / 4))
        if self._child:
            self._signal(signal.SIGKILL)
            self._until("died")
        if self._status == -signal.SIGKILL:
            self.kills += 1
            self.where[self._phase + (", stopped" if stopped else "")] += 1
        else:
            assert self._status == 0, f"a life ended by itself with {self._status}: {self.tail()}"

    def _signal(self, number: signal.Signals) -> None:
        if self._child:
            with suppress(ProcessLookupError):  # it has left by itself
                os.kill(self._child, number)

    def _wait(self, seconds: float) -> None:
        """Listen meanwhile: a pipe that is full would hold it up."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self._listen(until_s)

    def _until(self, word: str) -> None:
        """Listen until it has said this, or died."""
        pulse = Pulse(self._victim.process.pid)
        self._heard.clear()
        while not self._heard & {word, "died"}:
            if why := pulse.look():
                ask_for_stacks(self._child or self._victim.process.pid)
                raise AssertionError(f"it isn't {word}: {why}\n{self.tail()}")
            self._listen(time.monotonic() + LOOK_S)

    def _listen(self, until_s: float) -> None:
        lines = self._victim.lines(min(until_s, time.monotonic() + 0.02))
        assert lines is not None, f"the parent of the lives has ended: {self.tail()}"
        for word, *rest in lines:
            if word in ("sent", "acked"):
                self.said.hear(word, *rest)
            elif word != "failed":
                self._mark(word, rest)
        self._hear_client(self._client.lines(0.0) or ())

    def _mark(self, word: str, rest: list[str]) -> None:
        if word == "born":
            self._child, self._status = int(rest[0]), None
        elif word == "died":
            self._child, self._status = 0, int(rest[0])
        if word != "died":
            self._phase = word
        self._heard.add(word)

    def _hear_client(self, lines: object) -> None:
        for word, *rest in lines:  # type: ignore[attr-defined]
            if word != "failed":
                self.said.hear(word, *rest)
