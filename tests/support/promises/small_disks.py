"""Real small disks (tmpfs), and filling them up to a given number of free pages."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PAGE = 4096


class SmallDisk:
    """A mounted tmpfs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def leave(self, pages: int) -> None:
        """Fill it until so many pages are free, if there are more."""
        found = os.statvfs(self.path)
        room = found.f_bfree * found.f_frsize - pages * PAGE
        if room > 0:
            descriptor = os.open(self._filler, os.O_WRONLY | os.O_CREAT)
            try:
                os.posix_fallocate(descriptor, os.fstat(descriptor).st_size, room)
            finally:
                os.close(descriptor)

    def make_room(self) -> None:
        self._filler.unlink(missing_ok=True)

    def remount(self, how: str) -> None:
        """ "ro" or "rw"; the first only while nobody has a file open for writing."""
        subprocess.run(["mount", "-o", f"remount,{how}", str(self.path)], check=True)


@contextmanager
def small_disk(path: Path, size: str = "4m") -> Iterator[SmallDisk]:
    """Skips the test where nothing can be mounted."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    path.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(path)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no tmpfs here: {done.stderr.decode().strip()}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)
