"""The interpreter exits at once, and in peace, after something was cancelled in the middle."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from processes import environment, program, run
from tallies import Tally


@pytest.mark.parametrize(
    ("what", "way", "at"),
    [
        ("life", "scope", 7),
        ("life", "as it waits", 15),
        ("sql", "scope", 3),
        ("client", "scope", 2),
        ("client", "timeout", 3),
        ("ask in line", "group", 2),
    ],
)
def test_the_program_ends(tmp_path: Path, what: str, way: str, at: int, tally: Tally) -> None:
    ended = run(
        [
            sys.executable,
            "-X",
            "dev",
            "-W",
            "error",
            program("cut_victim.py"),
            what,
            way,
            str(at),
            str(tmp_path / "d"),
        ],
        env=environment(),
    )
    said = [line for line in ended.stderr.splitlines() if " INFO " not in line and " WARNING " not in line]
    assert (ended.returncode, ended.stdout) == (0, "left []\n"), ended.stderr
    assert not [line for line in said if "was destroyed" in line or "never" in line or "Warning" in line], ended.stderr
    tally("cancellations", 1)
