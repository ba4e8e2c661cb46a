"""Openers: which processes have a SQLite database open, and which of them hold its WAL.

A connection in WAL mode holds POSIX locks on bytes of the `-shm` file (SQLite: walformat.html, "WAL Locks"; the bytes
are those of os_unix.c). Linux lists all locks in /proc/locks. Reading that list drops no lock; opening the file itself
would, because closing a descriptor gives up the locks that this process has on the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ("openers", "readers")

LOCKS = "/proc/locks"

_READ_FIRST, _READ_LAST = 123, 127
"""WAL_READ_LOCK(0) to (4), held during a read transaction: UNIX_SHM_BASE is 120, and they are its 4th to 8th."""
_ALIVE = 128
"""UNIX_SHM_DMS, held as long as the connection is open."""


class _Lock(NamedTuple):
    pid: int
    first: int
    last: int

    def covers(self, first: int, last: int) -> bool:
        return self.first <= last and first <= self.last


def openers(path: str) -> list[int]:
    """The pids of the other processes that have the database open, as far as that can be told."""
    return _pids(path, _ALIVE, _ALIVE)


def readers(path: str) -> list[int]:
    """The pids of the other processes in a read transaction. The WAL can't begin anew before it ends."""
    return _pids(path, _READ_FIRST, _READ_LAST)


def _pids(path: str, first: int, last: int) -> list[int]:
    found = {lock.pid for lock in _locks(f"{path}-shm") if lock.covers(first, last)}
    return sorted(pid for pid in found if pid > 0 and pid != os.getpid())


def _locks(path: str) -> Iterator[_Lock]:
    """The POSIX locks on a file; none where the system doesn't list them."""
    try:
        found = os.stat(path)
        with open(LOCKS, encoding="ascii", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return
    inode = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for line in lines:
        # 3: POSIX  ADVISORY  READ 4711 fe:00:1234 124 124, with "->" after the number for one who waits (man: proc(5))
        fields = line.split()
        if len(fields) == 8 and fields[1] == "POSIX" and fields[5] == inode:
            last = 1 << 62 if fields[7] == "EOF" else int(fields[7])
            yield _Lock(int(fields[4]), int(fields[6]), last)
