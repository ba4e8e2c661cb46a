"""Files: a file comes into being whole, because it is written under another name, synced, and then renamed.

Closing any descriptor of a database drops SQLite's own locks on it (POSIX record locks). So nothing here may be used on
a database that this process has open.
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
"""The sidecar files, which a store has beside its database. The first three are SQLite's."""


@contextmanager
def os_errors(path: str) -> Iterator[None]:
    """Turn errors of the operating system into the store's.

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
    """A new empty file beside `destination`, for its owner alone. Anything left of it afterwards is removed.

    Raises:
        StoreFull, StoreUnavailable
    """
    folder, name = os.path.split(destination)
    path = os.path.join(folder, f".{name}.{os.getpid()}.partial")
    if not create_file(path):  # left by a process that was killed, and had our pid
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
    """Rename, but not over a file that another process has put there meanwhile, as `os.rename` would."""
    try:
        os.link(path, destination)
    except FileExistsError:
        raise FileInTheWay(destination) from None
    except OSError:  # a file system without links
        if os.path.lexists(destination):
            raise FileInTheWay(destination) from None
        os.rename(path, destination)


def sync_folder(folder: str) -> None:
    """Sync the names in a folder to disk.

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
    """The first of `path`, `path-2`, `path-3`, … under which lies neither a file nor a sidecar file."""
    number, name = 1, path
    while any(os.path.lexists(name + suffix) for suffix in ("", *SIDECARS)):
        number += 1
        name = f"{path}-{number}"
    return name


def size_of(path: str) -> int:
    """The size of a file in bytes, by `stat`; 0 if there is none."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def read_file(path: str, most: int) -> bytes:
    """Up to `most` bytes of a file, from its beginning; none if it can't be read."""
    try:
        with open(path, "rb") as file:
            return file.read(most)
    except OSError:
        return b""
