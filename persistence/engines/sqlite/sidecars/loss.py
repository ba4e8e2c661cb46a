"""Loss: commits that a database should have and lacks, and what to do about them.

The mark says how many commits the database had (`mark`). If the database of the same history shows fewer, it has lost
the tail of its WAL, or the whole WAL, or it is an older copy. SQLite itself reports nothing of the kind.

The node then refuses to start, because messages and states that it had promised to keep are gone: an operator should
know that before it goes on. The damaged WAL may still be of use, and the next commit would overwrite it.
docs/decisions/0004-lost-commits.md
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from typing import NamedTuple

from ....errors import CommitsLost, StoreError
from ....store.rows import OwnerRow
from ...urls import file_uri
from ..ownership import inbox_last_id, owner_row, raise_numbers, wrong_owner
from .files import os_errors, partial, publish, size_of
from .mark import Noted, life_of, read_mark

__all__ = ("Loss", "adopt", "find", "judge", "keep_wal", "look", "missing_database", "preserve", "refuse")

IDS_GAP = 10**12
"""The lost commits are taken to have given out so many sequence numbers. There is room for millions of such gaps."""


class Loss(NamedTuple):
    """The commits and submissions that are missing."""

    commits: int
    """How many commits are missing that had returned, and so were acknowledged."""
    submissions: int
    """How many rows are missing from the inbox of which other processes had been told that they are on disk."""
    epoch: int
    """The epoch of the latest boot that the mark knows."""
    inbox: int
    """The highest id that the inbox had given out."""

    def __str__(self) -> str:
        parts = [f"{self.commits:,} commit{'' if self.commits == 1 else 's'}"] if self.commits else []
        if self.submissions:
            parts.append(f"{self.submissions:,} submission{'' if self.submissions == 1 else 's'} of other processes")
        return " and ".join(parts)


def judge(noted: Noted | None, owner: OwnerRow | None, inbox: int) -> Loss | None:
    """The loss of a database with this owner row, and this last id of its inbox, by what is noted; None for no loss."""
    if noted is None or owner is None or life_of(owner) not in noted.lives:
        return None
    commits = max(0, noted.commit_no - owner.commit_no)
    submissions = max(0, noted.inbox - inbox)
    if not commits and not submissions:
        return None
    return Loss(commits, submissions, noted.lives[-1].epoch, noted.inbox)


def find(connection: sqlite3.Connection, noted: Noted | None) -> Loss | None:
    """The same for an open database. The mark must be read before, because beside a running node both move on.

    Raises:
        sqlite3.Error
    """
    if wrong_owner(connection) is not None:
        return None
    return judge(noted, owner_row(connection), inbox_last_id(connection))


def look(path: str) -> Loss | None:
    """The same for a database that nobody may have open. It is only read, so its WAL stays as it is.

    (Otherwise the last connection to close would bring the undamaged part of the WAL into the database, and delete
    all the rest of it.)
    """
    noted = read_mark(f"{path}.mark")
    if noted is None or not size_of(path):
        return None
    try:
        with closing(sqlite3.connect(file_uri(path, "mode=ro"), uri=True, isolation_level=None)) as connection:
            return find(connection, noted)
    except sqlite3.Error:
        return None  # no store yet, or a damaged one: opening it says so


def missing_database(path: str) -> str:
    """Words about a database that isn't there, or is empty, though its mark tells of commits; "" if nothing is amiss.

    The node starts nevertheless, because a new database is what a person wants who removed the old one. A WAL that was
    left behind is copied, because SQLite deletes it.
    """
    noted = read_mark(f"{path}.mark")
    if noted is None or size_of(path) or not (noted.commit_no or noted.inbox):
        return ""
    kept = keep_wal(path)
    saved = f". The write-ahead log that was left is kept in {kept}" if kept else ""
    return f"the whole database, and with it {Loss(noted.commit_no, noted.inbox, 0, 0)}{saved}"


def refuse(path: str, loss: Loss) -> CommitsLost:
    """Copy the damaged WAL, and return the error to raise."""
    return CommitsLost(path, str(loss), keep_wal(path))


def preserve(path: str) -> None:
    """Copy a damaged WAL before its database, which nobody may have open, is opened: that alone could cost the WAL."""
    if look(path) is not None:
        keep_wal(path)


def keep_wal(path: str) -> str | None:
    """Copy the WAL, which the next commit would overwrite, to `path.lost-wal-N`, once for each loss.

    Returns:
        The path of the copy; None if there is no WAL, or no room.
    """
    noted = read_mark(f"{path}.mark")
    if noted is None or not size_of(f"{path}-wal"):
        return None
    kept = f"{path}.lost-wal-{noted.commit_no}"
    if not os.path.lexists(kept):
        with suppress(StoreError), os_errors(kept), partial(kept) as copied:
            shutil.copyfile(f"{path}-wal", copied)
            publish(copied, kept, overwrite=True)
    return kept if os.path.lexists(kept) else None


def adopt(connection: sqlite3.Connection, loss: Loss) -> None:
    """In the open transaction, see to it that no number that the lost commits gave out is given out again.

    Raises:
        sqlite3.Error
    """
    last_id = 0 if (owner := owner_row(connection)) is None else owner.last_id
    raise_numbers(connection, epoch=loss.epoch, last_id=last_id + IDS_GAP, inbox=loss.inbox)
