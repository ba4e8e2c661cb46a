"""LockFile: one owner a database, across processes.

POSIX record locks end with the process: a crash of any kind frees them, and a forked child doesn't inherit them. They
have two traps. Within one process they don't conflict, and closing *any* descriptor of the file drops them. So a
registry keeps this process from opening a lock file again while it holds the lock.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock

from ....errors import StoreFull, StoreLocked, StoreUnavailable
from ..driver import not_made

__all__ = ("LockFile", "holder", "owned")

_held: set[tuple[int, int]] = set()
"""(device, inode) of the lock files that this process holds."""
_registry = Lock()


class LockFile:
    """An exclusive lock on a file that is made for it. The file holds the pid of the lock's holder.

    The file is never removed, because a third process could then lock a new file of that name while a second one still
    waits for the old.
    """

    def __init__(self, path: str, subject: str) -> None:
        self.path = path
        self.subject = subject
        """The thing that the lock protects, for the error."""
        self._descriptor: int | None = None
        self._identity: tuple[int, int] | None = None

    def acquire(self) -> None:
        """
        Raises:
            StoreLocked: another process holds it, or this one already does.
            StoreFull, StoreUnavailable: the file can't be made.
        """
        with _registry:
            with suppress(FileNotFoundError):
                found = os.stat(self.path)
                if (found.st_dev, found.st_ino) in _held:
                    raise StoreLocked(self.subject, os.getpid())
            try:
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
            except OSError as error:
                raise _mapped(error, self.path) from error
            try:
                if not _try(descriptor):
                    raise StoreLocked(self.subject, _pid(descriptor))
                if hasattr(os, "fchmod"):
                    with suppress(PermissionError):
                        os.fchmod(descriptor, 0o600)
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
                found = os.fstat(descriptor)
            except OSError as error:
                os.close(descriptor)
                raise _mapped(error, self.path) from error
            except BaseException:
                os.close(descriptor)
                raise
            self._descriptor = descriptor
            self._identity = (found.st_dev, found.st_ino)
            _held.add(self._identity)

    def release(self) -> None:
        """Give the lock back; safe to call twice."""
        with _registry:
            if self._descriptor is None:
                return
            with suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            if self._identity is not None:
                _held.discard(self._identity)
            self._descriptor = self._identity = None


@contextmanager
def owned(path: str) -> Iterator[None]:
    """Own the SQLite store at `path` for the length of a block: no node runs on it meanwhile.

    Raises:
        StoreLocked, StoreFull, StoreUnavailable
    """
    lock = LockFile(f"{path}.lock", path)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def holder(path: str) -> int | None:
    """The pid of the process that holds the lock file at `path`; 0 if that can't be told, None if none holds it.

    It only asks. Taking the lock for a moment, to see whether it is free, could turn away a node that is just starting.

    Raises:
        StoreUnavailable: the file can't be read.
    """
    with _registry:
        try:
            found = os.stat(path)
            if (found.st_dev, found.st_ino) in _held:
                return os.getpid()
            descriptor = os.open(path, _ASK_FLAGS | getattr(os, "O_CLOEXEC", 0))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreUnavailable(f"{path} can't be read: {error.strerror}") from error
        try:
            pid = _ask(descriptor)
            return pid if pid is None or pid > 0 else _pid(descriptor) or 0
        finally:
            os.close(descriptor)


def _mapped(error: OSError, path: str) -> StoreFull | StoreUnavailable:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(f"{path}: {error.strerror}")
    return StoreUnavailable(not_made(path, error))


def _pid(descriptor: int) -> int | None:
    """The pid that the lock's holder has written; None if it hasn't yet."""
    with suppress(OSError, ValueError):
        return int(os.pread(descriptor, 20, 0)) or None
    return None


if sys.platform == "win32":
    import msvcrt

    _BEYOND = 1 << 20  # locked bytes can't be read there, and the pid must be

    def _try(descriptor: int) -> bool:
        os.lseek(descriptor, _BEYOND, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    _ASK_FLAGS = os.O_RDWR

    def _ask(descriptor: int) -> int | None:
        if not _try(descriptor):
            return 0
        os.lseek(descriptor, _BEYOND, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
        return None

else:
    import fcntl
    import struct

    def _try(descriptor: int) -> bool:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):  # POSIX: fcntl, F_SETLK
                return False
            raise
        return True

    _ASK_FLAGS = os.O_RDONLY
    # struct flock: (format, place of l_type, place of l_pid). BSDs have the offsets first.
    _FLOCK, _TYPE, _HOLDER = ("hhqqi", 0, 4) if sys.platform == "linux" else ("qqihhi", 3, 2)

    def _ask(descriptor: int) -> int | None:
        """The pid of the lock that is in the way (POSIX: fcntl, F_GETLK); 0 or less if the system doesn't say."""
        wanted: list[int] = [0] * len(_FLOCK)
        wanted[_TYPE] = fcntl.F_WRLCK
        answer = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, struct.pack(_FLOCK, *wanted)))
        return None if answer[_TYPE] == fcntl.F_UNLCK else answer[_HOLDER]
