"""Stores of SQLite for the tests: how they are made, what they write with, and where."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from greenroom.persistence.engines.sqlite.engine import SqliteStore

Make = Callable[..., SqliteStore]
Spawn = Callable[[str, Path], "subprocess.Popen[str]"]


def writer(store: SqliteStore) -> sqlite3.Connection:
    assert store._writer is not None
    return store._writer


@contextmanager
def mounted(path: Path, size: str) -> Iterator[Path]:
    path.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs root to mount a file system")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], capture_output=True).returncode:
        pytest.skip("may not mount a file system here")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)
