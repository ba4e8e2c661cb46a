"""Ctrl-C at random moments: the process ends soon, by itself and in peace, and nothing is lost.

A second and a third one end the event loop wherever it stands (asyncio.Runner): then nothing may be lost either.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from havoc_judge import Said, judge
from havoc_parent import Process
from processes import ended
from pulse import LOOK_S, Pulse
from stacks import ask_for_stacks
from tallies import Tally

ASLEEP_S_MAX = 8.0
"""From the last Ctrl-C to the end of the interpreter: longer than what it may wait for."""
GAPS_S = (0.01, 0.03, 0.1)
"""Between one and the next. Two within microseconds may hit asyncio itself as it cancels the main task, which is never
woken then, whatever runs in it."""
COMPLAINTS = ("was destroyed", "never retrieved", "never awaited", "ResourceWarning", "greenroom itself failed")


class Interrupted:
    """One database, and lives that Ctrl-C ends."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.path = folder / "havoc.db"
        self.errors = folder / "stderr"
        self.said = Said()
        self._draw = random.Random(seed)
        self._seed = seed
        self._processes: list[Process] = []

    def live(self, life: int) -> None:
        draw, process = self._draw, self._begin()
        process.write(f"alone {life}")
        self._listen(process, until="born")
        boots = draw.random() < 0.4
        self._wait(process, draw.uniform(0.0, 0.15 if boots else 0.6))
        before, times = len(self.errors.read_text()), draw.choice((1, 1, 1, 2, 3))
        for _ in range(times):
            process.process.send_signal(signal.SIGINT)
            self._wait(process, draw.choice(GAPS_S))
        self._listen(process)
        ended(process.process, self.errors)
        assert process.process.returncode in (0, 1, 130, -signal.SIGINT), self.errors.read_text()[-3000:]
        process.close()
        if times == 1:  # asyncio ends the loop under its tasks at the second, and they complain
            said = self.errors.read_text()[before:].splitlines()
            assert not [line for line in said if any(complaint in line for complaint in COMPLAINTS)], said

    def settle(self) -> None:
        process = self._begin()
        self.path.with_suffix(".quiet").touch()
        process.write("settle")
        self._listen(process, until="died")
        process.close()

    def close(self) -> None:
        for process in self._processes:
            process.close()

    def _begin(self) -> Process:
        self._processes.append(Process("havoc_victim.py", self.path, self._seed, stderr=self.errors))
        return self._processes[-1]

    def _wait(self, process: Process, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s and self._hear(process.lines(until_s)) is not None:
            pass

    def _listen(self, process: Process, until: str = "") -> None:
        """Until it says a word, or has ended."""
        pulse = Pulse(process.process.pid, asleep_s=ASLEEP_S_MAX)
        while (words := self._hear(process.lines(time.monotonic() + LOOK_S))) is not None and until not in words:
            if why := pulse.look():
                ask_for_stacks(process.process.pid)
                raise AssertionError(f"it hangs: {why}\n{self.errors.read_text()[-30_000:]}")

    def _hear(self, lines: list[list[str]] | None) -> set[str] | None:
        for word, *rest in lines or ():
            if word in ("sent", "acked"):
                self.said.hear(word, *rest)
        return None if lines is None else {line[0] for line in lines}


@pytest.fixture
def interrupted(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Interrupted]:
    made = Interrupted(tmp_path, getattr(request, "param", 0))
    yield made
    made.close()


def survives(interrupted: Interrupted, lives: int, tally: Tally) -> None:
    for life in range(1, lives + 1):
        interrupted.live(life)
    interrupted.settle()
    found = judge(interrupted.path, interrupted.said)
    tally("cancellations", lives)
    tally("messages lost", len(found.lost))
    tally("messages doubled", len(found.doubled))
    assert found.clean, str(found)


def test_a_few(interrupted: Interrupted, tally: Tally) -> None:
    survives(interrupted, 5, tally)


@pytest.mark.torture
@pytest.mark.timeout(600)
@pytest.mark.parametrize("interrupted", [1, 2], indirect=True)
def test_a_hundred(interrupted: Interrupted, tally: Tally) -> None:
    survives(interrupted, 50, tally)
