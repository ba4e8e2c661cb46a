"""The mark: how many commits its database had, noted without a sync after each commit that has returned.

SQLite silently takes the first damaged frame of a WAL for the WAL's end (SQLite: fileformat.html, 4.3). Everything
committed behind it is gone as if it had never been. The same happens if somebody deletes a WAL, or puts an older copy
of the database in its place. The mark shows it (`loss`).

The mark is written into a shared memory map, which outlives the process. A power cut may leave it old, torn or empty.
An old mark says less than the truth, and a torn one fails its check. It never says more than was on disk.

It is one sector of 512 bytes: a title; the last number of the inbox, written by each process that submits; two places
for the number of the last commit, used in turns; the latest lives of the node, each by (epoch, started), with a
checksum. A database that shows none of these lives is another one, and the mark says nothing about it.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from struct import Struct
from typing import Final, NamedTuple
from zlib import crc32

from ....store.rows import OwnerRow
from .files import os_errors, read_file

__all__ = ("Life", "Mark", "Noted", "life_of", "note_submission", "read_mark")

SIZE: Final = 512
LIVES_MAX: Final = 20
"""More than a WAL spans, because each start of a node begins a new WAL, unless other processes hold the old."""

_TITLE: Final = b"greenroom mark 1\n".ljust(32, b"\0")
_INBOX: Final = 32
_COMMITS: Final = 64
_LIVES: Final = 128
_NUMBER: Final = Struct("@qq")
"""A number and its complement, in the byte order of the machine, because it stores eight aligned bytes at once."""
_LIFE: Final = Struct("@qd")
_CHECK_AT: Final = SIZE - 8
_CHECK: Final = Struct("@Q")


class Life(NamedTuple):
    """One boot of a node. Two databases show the same life only if one is a copy of the other."""

    epoch: int
    started: float


class Noted(NamedTuple):
    """The content of a mark."""

    commit_no: int
    inbox: int
    """The highest id that a submission was given."""
    lives: tuple[Life, ...]
    """Oldest first."""


class Mark:
    """The mark of a store that this process owns."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.commit_no = 0
        """The last commit that has returned."""
        self._map: mmap.mmap | None = None
        self._pack = _NUMBER.pack_into

    def open(self, owner: OwnerRow, inbox: int, before: OwnerRow | None) -> None:
        """Begin a life.

        Args:
            owner: the database's row, of this life.
            inbox: the last id of the database's inbox.
            before: the row of the life before, if there was one.

        Raises:
            StoreFull, StoreUnavailable
        """
        self.close()
        lives: tuple[Life, ...] = ()
        earlier = None if before is None else life_of(before)
        if earlier is not None:
            noted = read_mark(self.path)
            lives = (earlier,) if noted is None or earlier not in noted.lives else noted.lives
        content = _content(Noted(owner.commit_no, inbox, (*lives, Life(owner.epoch, owner.started))[-LIVES_MAX:]))
        with os_errors(self.path):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
            try:
                if hasattr(os, "fchmod"):
                    os.fchmod(descriptor, 0o600)  # the umask may have taken bits of ours
                # Written in full each time: a page without a disk block would be a SIGBUS on a full disk.
                os.lseek(descriptor, 0, os.SEEK_SET)
                view = memoryview(content)
                while view:
                    view = view[os.write(descriptor, view) :]
                os.ftruncate(descriptor, SIZE)
                self._map = mmap.mmap(descriptor, SIZE)
            finally:
                os.close(descriptor)
        self.commit_no = owner.commit_no

    def note(self, commit_no: int) -> None:
        """This commit has returned, so it is durable. Called once a commit; it costs a fifth of a microsecond."""
        self.commit_no = commit_no
        if self._map is not None:
            self._pack(self._map, _COMMITS + 16 * (commit_no & 1), commit_no, ~commit_no)

    def disown(self) -> None:
        """This is a forked child, and the file is the parent's."""
        self._map = None

    def close(self) -> None:
        if self._map is not None:
            self._map.close()
            self._map = None


def life_of(owner: OwnerRow) -> Life | None:
    """The life that a row names; None if the row is damaged, because its columns may hold anything then."""
    named = isinstance(owner.epoch, int) and isinstance(owner.started, float)
    return Life(owner.epoch, owner.started) if named else None


def read_mark(path: str) -> Noted | None:
    """The content of the mark at `path`; None if there is none, or it makes no sense."""
    raw = read_file(path, SIZE + 1)
    if len(raw) != SIZE or not raw.startswith(_TITLE) or _CHECK.unpack_from(raw, _CHECK_AT)[0] != _checked(raw):
        return None
    commits = [number for place in (0, 16) if (number := _number(raw, _COMMITS + place)) is not None]
    inbox = _number(raw, _INBOX)
    lives = tuple(Life(*_LIFE.unpack_from(raw, _LIVES + _LIFE.size * place)) for place in range(LIVES_MAX))
    return Noted(max(commits, default=0), inbox or 0, tuple(life for life in lives if life.epoch > 0))


def note_submission(path: str, inbox: int) -> None:
    """A submission was given this id, and is durable. Any process calls it, beside an owner or not; never raises.

    If two processes note at once, the lower id may stay. The mark then says less than the truth, as it does whenever it
    is in doubt.
    """
    noted = read_mark(path)
    if noted is None or inbox <= noted.inbox:
        return
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
        try:
            os.lseek(descriptor, _INBOX, os.SEEK_SET)
            os.write(descriptor, _NUMBER.pack(inbox, ~inbox))
        finally:
            os.close(descriptor)


def _content(noted: Noted) -> bytes:
    raw = bytearray(SIZE)
    raw[: len(_TITLE)] = _TITLE
    _NUMBER.pack_into(raw, _INBOX, noted.inbox, ~noted.inbox)
    _NUMBER.pack_into(raw, _COMMITS + 16 * (noted.commit_no & 1), noted.commit_no, ~noted.commit_no)
    for place, life in enumerate(noted.lives):
        _LIFE.pack_into(raw, _LIVES + _LIFE.size * place, *life)
    _CHECK.pack_into(raw, _CHECK_AT, _checked(raw))
    return bytes(raw)


def _checked(raw: bytes | bytearray) -> int:
    return crc32(raw[_LIVES:_CHECK_AT])


def _number(raw: bytes, place: int) -> int | None:
    number, complement = _NUMBER.unpack_from(raw, place)
    return int(number) if complement == ~number else None
