"""The shim of shim.c, built and put under a process.

shim = Shim(folder, scratch)                       # the folder that is watched; where log and control file go
process = subprocess.Popen([...], env=shim.env)
shim.fail("write", nth=3, error=errno.ENOSPC, suffix="-wal")    # at once, or before the process is started
shim.heal()

What the process writes to the path `shim.notes` stands in the log, in the order of what it did to the disk.
"""

from __future__ import annotations

import errno
import functools
import mmap
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

import pytest

__all__ = ("HALF", "KILL", "Shim", "library")

Operation = Literal["write", "sync", "truncate", "open", "unlink", "rename", "any"]

HALF = 0
"""In place of an errno: a write does half of its bytes, and says so."""
KILL = -1
"""In place of an errno: the process dies by SIGKILL before the call."""

SOURCE = Path(__file__).with_name("shim.c")
CONTROL_BYTES = 4096
RULES_MAX = 32


@functools.cache
def library() -> Path:
    """The shim, compiled once a test run. Skips the test where that can't be."""
    if sys.platform != "linux":
        pytest.skip("the shim needs Linux (LD_PRELOAD)")
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CC") or "cc", "gcc", "clang"))), None)
    if compiler is None:
        pytest.skip("no C compiler: install gcc or clang (Debian: apt-get install gcc libc6-dev)")
    folder = Path(tempfile.mkdtemp(prefix="greenroom-shim-"))
    _remove_at_exit(folder)
    target = folder / "shim.so"
    command = [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-o", str(target), str(SOURCE), "-ldl", "-lpthread"]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode and "#include" in built.stderr:
        pytest.skip("no headers for the C compiler: install them (Debian: apt-get install libc6-dev)")
    assert built.returncode == 0, built.stderr
    return target


def _remove_at_exit(folder: Path) -> None:
    import atexit

    atexit.register(shutil.rmtree, folder, ignore_errors=True)


class Shim:
    """One watched folder. Several processes may follow each other under it; the log goes on."""

    def __init__(self, folder: Path, scratch: Path, *, log: bool = True, skip_syncs: bool = True) -> None:
        """
        Args:
            folder: what is watched; it must exist.
            scratch: for log and control file; outside of it.
            skip_syncs: syncs are logged, and not made.
        """
        self.folder = folder.resolve()
        self.log = scratch / "operations.log"
        self.notes = scratch / "notes"
        self._control = scratch / "control"
        self._control.write_bytes(bytes(CONTROL_BYTES))
        self._generation = 0
        self._rules: list[str] = []
        self.env = {
            **os.environ,
            "LD_PRELOAD": " ".join(filter(None, (str(library()), os.environ.get("LD_PRELOAD")))),
            "POWERLOSS_FOLDER": str(self.folder),
            "POWERLOSS_NOTES": str(self.notes),
            "POWERLOSS_CONTROL": str(self._control),
            "POWERLOSS_SYNC": "skip" if skip_syncs else "",
        }
        if log:
            self.env["POWERLOSS_LOG"] = str(self.log)

    def fail(
        self,
        operation: Operation,
        *,
        nth: int = 1,
        count: int | None = 1,
        error: int = errno.EIO,
        suffix: str = "*",
    ) -> None:
        """Let calls fail from now on; earlier rules go on, and all of them count anew.

        Args:
            operation: "open" is only what may create or write.
            nth: the first that fails, from 1.
            count: how many do; None: all.
            error: an errno, `HALF` or `KILL`.
            suffix: of the file's path ("-wal"); "*": all of them.
        """
        assert len(self._rules) < RULES_MAX, "too many rules"
        assert nth >= 1, "calls are counted from 1"
        assert 0 < len(suffix) < 64, suffix
        assert " " not in suffix, suffix
        self._rules.append(f"{operation} {nth} {count or 0} {error} {suffix}\n")
        self._publish()

    def heal(self) -> None:
        """Everything works again."""
        self._rules.clear()
        self._publish()

    def _publish(self) -> None:
        text = "".join(self._rules).encode() + b"\0"
        assert len(text) <= CONTROL_BYTES - 4, "too many rules"
        self._generation += 1
        with self._control.open("r+b") as file, mmap.mmap(file.fileno(), CONTROL_BYTES) as control:
            control[4 : 4 + len(text)] = text
            control[:4] = struct.pack("=I", self._generation)
