"""Ctrl-C, twice or three times, at any function call: the process ends, and nothing that was acknowledged is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from processes import environment, program
from tallies import Tally


def survives(folder: Path, seed: int, lives: int, tally: Tally) -> None:
    run = subprocess.run(
        [sys.executable, program("interrupt_victim.py"), str(folder), str(seed), str(lives)],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
    )
    *bad, last = map(json.loads, run.stdout.splitlines())
    assert not bad, "\n".join(f"{key}: {value}" for key, value in bad[0].items())
    first, second = last["left"]
    acked = [int(line) for line in (folder / "acked").read_text().split()]
    assert acked
    lost, doubled = set(acked) - set(first), len(first) - len(set(first)) + len(second) - len(set(second))
    tally("cancellations", lives)
    tally("messages lost", len(lost))
    tally("messages doubled", doubled)
    assert not lost
    assert not doubled
    assert sorted(first) == sorted(second), "what the first told the second in its turns"


def test_some_calls(tmp_path: Path, tally: Tally) -> None:
    survives(tmp_path, 1, 40, tally)


@pytest.mark.torture
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [2, 3])
def test_many_calls(tmp_path: Path, seed: int, tally: Tally) -> None:
    survives(tmp_path, seed, 1000, tally)
