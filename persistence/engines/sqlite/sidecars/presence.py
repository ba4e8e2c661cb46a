"""Presence: whether the files of an open database still lie where they lay when it was opened.

SQLite goes on with a file that was removed, renamed or replaced: it has the file open, and whatever is committed then
is in no file that anybody finds. So the files at the paths are compared with those that were opened, by device and
inode, after each commit and before it is acknowledged. A look at one costs a microsecond.

The files are looked at by their paths alone. Closing a descriptor of the database would drop SQLite's own locks on it.
"""

from __future__ import annotations

import os

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

    def note(self) -> None:
        """The database has been opened just now, and read: SQLite has its files open.

        Raises:
            StoreLost: it isn't the database that was noted before.
        """
        before = self._opened[:1]
        opened: list[tuple[str, int, int]] = []
        for suffix in _FILES:
            try:
                found = os.stat(self.path + suffix)
            except OSError:  # a file system that doesn't say: then nothing can be compared
                continue
            opened.append((self.path + suffix, found.st_dev, found.st_ino))
        self._opened = opened
        if before and opened and before[0] != opened[0]:
            raise StoreLost(self.path, self.path, _FILES[""], replaced=True)

    def forget(self) -> None:
        """The database is closed."""
        self._opened = []

    def check(self, *, index: bool = False) -> None:
        """
        Args:
            index: look at the index of the log, too. No commit is in it, so that isn't worth a look at each commit.

        Raises:
            StoreLost: a file was removed, renamed or replaced. What was committed since may be in no file that is left.
        """
        for path, device, inode in self._opened if index else self._opened[:2]:
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
