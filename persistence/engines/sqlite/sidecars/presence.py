"""Presence: whether the files of an open database still lie where they lay when it was opened.

SQLite goes on with a file that was removed, renamed or replaced: it has the file open, and whatever is committed then
is in no file that anybody finds. So the files at the paths are compared with those that were opened, by device and
inode, after each commit and before it is acknowledged. A look at one costs two or three microseconds.

The log is looked at in another way if it can be, because a `stat` of it makes the next commit dearer. Since Linux 6.13
a write must give a file a new time if a `stat` has seen the old one, and the sync has to write that as well: 45 of 180
microseconds of a commit on ext4 (Linux: Documentation/filesystems/multigrain-ts.rst). So a descriptor is held that is
nothing but a place (`O_PATH`), and `/proc` is asked for the path that it has now.

The others are looked at by their paths alone. Closing a usual descriptor of the database would drop SQLite's own locks.
"""

from __future__ import annotations

import os
from contextlib import suppress

from ....errors import StoreLost

__all__ = ("Presence",)

_FILES = {"": "the database", "-wal": "its write-ahead log", "-shm": "the index of its write-ahead log"}
"""The files that SQLite holds open, by the end of their names."""


class Presence:
    """The files of one open database."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._opened: list[tuple[str, int, int]] = []
        """Each file's path, device and inode. Empty while the database isn't open."""
        self._log = _Place()

    def note(self) -> None:
        """The database has been opened just now, and read: SQLite has its files open.

        Raises:
            StoreLost: it isn't the database that was noted before.
        """
        before = self._opened[:1]
        opened: list[tuple[str, int, int]] = []
        self._log.leave()
        for suffix in _FILES:
            try:
                found = os.stat(self.path + suffix)
            except OSError:  # a file system that doesn't say: then nothing can be compared
                continue
            opened.append((self.path + suffix, found.st_dev, found.st_ino))
        self._opened = opened
        for noted in opened[1:2]:
            if noted[0].endswith("-wal"):
                self._log.take(*noted)
        if before and opened and before[0] != opened[0]:
            raise StoreLost(self.path, self.path, _FILES[""], replaced=True)

    def forget(self) -> None:
        """The database is closed."""
        self._opened = []
        self._log.leave()

    def check(self, *, index: bool = False) -> None:
        """
        Args:
            index: look at the index of the log, too. No commit is in it, so that isn't worth a look at each commit.

        Raises:
            StoreLost: a file was removed, renamed or replaced. What was committed since may be in no file that is left.
        """
        for path, device, inode in self._opened if index else self._opened[:2]:
            if path == self._log.path and self._log.is_unchanged:
                continue
            try:
                found = os.stat(path)
            except (FileNotFoundError, NotADirectoryError):
                raise self._lost(path, replaced=False) from None
            except OSError:  # a folder that may not be searched any more: nothing says that the file is gone
                continue
            if found.st_ino != inode or found.st_dev != device:
                raise self._lost(path, replaced=True)

    @property
    def database_is_there(self) -> bool:
        """Whether the database itself lies at its path, whatever has become of its log."""
        opened = self._opened[:1]
        try:
            found = os.stat(self.path)
        except OSError:
            return False
        return opened == [(self.path, found.st_dev, found.st_ino)]

    def lost(self) -> StoreLost:
        """The error of a database that doesn't lie at its path any more."""
        return self._lost(self.path, replaced=False)

    def _lost(self, path: str, *, replaced: bool) -> StoreLost:
        return StoreLost(self.path, path, _FILES[path.removeprefix(self.path)], replaced=replaced)


class _Place:
    """Where an open file lies, without a look at the file itself."""

    def __init__(self) -> None:
        self.path = ""
        """The path that it was opened by; "" if there is none, or the system has no such descriptors."""
        self._descriptor = -1
        self._link = self._found = ""

    def take(self, path: str, device: int, inode: int) -> None:
        """Hold the place of the file, if the one at the path is still that of this device and inode."""
        if not hasattr(os, "O_PATH"):
            return
        with suppress(OSError):
            self._descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
            self._link = f"/proc/self/fd/{self._descriptor}"
            self._found = os.readlink(self._link)
            found = os.fstat(self._descriptor)
            if (found.st_dev, found.st_ino) == (device, inode):
                self.path = path

    def leave(self) -> None:
        descriptor, self._descriptor, self.path = self._descriptor, -1, ""
        if descriptor >= 0:
            os.close(descriptor)

    @property
    def is_unchanged(self) -> bool:
        """Whether the file certainly lies where it lay. If it may not, a `stat` decides."""
        try:
            return os.readlink(self._link) == self._found
        except OSError:
            return False
