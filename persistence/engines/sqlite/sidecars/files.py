"""Files: how a whole file comes to be where another process may look for it: written aside, synced, then renamed.

SQLite's own locks go when any descriptor of a database is closed (POSIX record locks), so nothing here may be used on a
database that this process has open.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ....errors import FileInTheWay, StoreFull, StoreUnavailable
from ..driver import create_file

__all__ = ("SIDECARS", "free_name", "os_errors", "partial", "publish", "read_file", "size_of", "sync_folder")

SIDECARS = ("-wal", "-shm", "-journal", ".slots", ".hang", ".mark", ".lock")
"""What a store has beside its database; the first three are SQLite's."""


@contextmanager
def os_errors(path: str) -> Iterator[None]:
    """Errors of the operating system as the store's.

    Raises:
        StoreFull, StoreUnavailable
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull(f"{path}: {error.strerror}") from error
        raise StoreUnavailable(f"{path}: {error.strerror}") from error


@contextmanager
def partial(destination: str) -> Iterator[str]:
    """A new empty file beside `destination`, for its owner alone. What is left of it afterwards is removed.

    Raises:
        StoreFull, StoreUnavailable
    """
    folder, name = os.path.split(destination)
    path = os.path.join(folder, f".{name}.{os.getpid()}.partial")
    if not create_file(path):  # of a process that was killed, and had our pid
        with os_errors(path):
            os.unlink(path)
        create_file(path)
    try:
        yield path
    finally:
        for suffix in ("", *SIDECARS[:3]):
            with suppress(OSError):
                os.unlink(path + suffix)


def publish(path: str, destination: str, *, overwrite: bool) -> None:
    """Give a finished file its name, atomically; on return both are on disk.

    Raises:
        FileInTheWay: there is one already, and it isn't to be overwritten.
        StoreFull, StoreUnavailable
    """
    with os_errors(destination):
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if overwrite:
            os.replace(path, destination)
        else:
            _rename_new(path, destination)
    sync_folder(os.path.dirname(destination))


def _rename_new(path: str, destination: str) -> None:
    """`rename` would overwrite what another process has put there since somebody looked."""
    try:
        os.link(path, destination)
    except FileExistsError:
        raise FileInTheWay(destination) from None
    except OSError:  # a file system without links
        if os.path.lexists(destination):
            raise FileInTheWay(destination) from None
        os.rename(path, destination)


def sync_folder(folder: str) -> None:
    """Have the names in a folder on disk.

    Raises:
        StoreFull, StoreUnavailable
    """
    if os.name != "posix":
        return
    with os_errors(folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def free_name(path: str) -> str:
    """`path`, or `path-2`, `path-3`, …: the first under which nothing lies, nor anything beside it."""
    number, name = 1, path
    while any(os.path.lexists(name + suffix) for suffix in ("", *SIDECARS)):
        number += 1
        name = f"{path}-{number}"
    return name


def size_of(path: str) -> int:
    """In bytes, by `stat`; 0 if there is nothing."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def read_file(path: str, most: int) -> bytes:
    """The first `most` bytes of a file, or all of it; nothing if it can't be read."""
    try:
        with open(path, "rb") as file:
            return file.read(most)
    except OSError:
        return b""
