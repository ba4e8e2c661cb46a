"""The disk of a test, and the processes that work on it."""

from __future__ import annotations

import sys
from pathlib import Path

from processes import environment, run

from powerloss.oplog import Operation, read
from powerloss.shim import Shim

__all__ = ("Power",)


class Power:
    """A disk, and victims that work on it one after the other."""

    def __init__(self, folder: Path) -> None:
        self.disk = folder / "disk"
        self.disk.mkdir()
        self.shim = Shim(self.disk, folder)

    def victim(self, lives: int, count: int, bug: str = "none", first: int = 0) -> list[Operation]:
        """Let one live to its end; the log."""
        numbers = (str(first), str(lives), str(count))
        self.run("-m", "powerloss.victim", str(self.disk / "p.db"), str(self.shim.notes), *numbers, bug)
        return read(self.shim.log)

    def run(self, *arguments: str) -> None:
        done = run([sys.executable, "-W", "error", *arguments], env=environment(self.shim.env))
        assert done.returncode == 0, done.stderr
