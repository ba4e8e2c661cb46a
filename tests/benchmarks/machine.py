"""The machine: which cores the run may use, and the facts that its figures depend on."""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
from pathlib import Path

__all__ = ("facts", "take_cores")


def take_cores(count: int) -> int:
    """Keep this process, and those that it starts, to so many cores; how many they are."""
    if not hasattr(os, "sched_setaffinity"):  # macOS has none
        return os.cpu_count() or 1
    allowed = sorted(os.sched_getaffinity(0))[:count]
    os.sched_setaffinity(0, allowed)
    return len(allowed)


def facts(folder: Path, cores: int) -> str:
    return (
        f"{cores} {platform.machine()} cores, {sys.platform}, {platform.python_implementation()} "
        f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}, {_filesystem(folder)}, WAL, synchronous=FULL"
    )


def _filesystem(folder: Path) -> str:
    """The file system of the run's databases. A file system in memory makes every figure a lie: it says so here."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return "unknown file system"
    found, kind = "", "unknown file system"
    for line in mounts.read_text().splitlines():
        _, point, name, *_ = line.split()
        if folder.resolve().is_relative_to(point) and len(point) >= len(found):
            found, kind = point, name
    return kind
