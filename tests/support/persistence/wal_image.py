"""A store as kill -9 leaves it, and what lies in its WAL."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import NamedTuple

from sqlite_stores import Make
from store_samples import actor, commit, message, tell

__all__ = ("FRAME_HEADER", "WAL_HEADER", "Image", "copied", "killed")

WAL_HEADER, FRAME_HEADER = 32, 24
"""Bytes. SQLite: fileformat.html, 4.1"""


class Image(NamedTuple):
    folder: Path
    checkpointed: int
    """Commits that are in the database file."""
    commits: int
    """Commits that had returned when it was killed."""

    @property
    def path(self) -> Path:
        return self.folder / "bank.db"

    @property
    def wal(self) -> Path:
        return self.folder / "bank.db-wal"

    @property
    def mark(self) -> Path:
        return self.folder / "bank.db.mark"

    def ends(self) -> list[int]:
        """Where in the WAL each transaction ends. SQLite: fileformat.html, 4.1: its last frame names the size."""
        raw = self.wal.read_bytes()
        (page,) = struct.unpack_from(">I", raw, 8)
        size = FRAME_HEADER + page
        return [
            at + size
            for at in range(WAL_HEADER, len(raw) - size + 1, size)
            if struct.unpack_from(">I", raw, at + 4)[0] and raw[at + 8 : at + 16] == raw[16:24]
        ]


async def killed(make: Make, folder: Path, *, checkpointed: int = 3, behind: int = 5, submissions: int = 0) -> Image:
    """The files of a store right after its last commit. Commit n inserts message n, and makes the state n."""
    folder.mkdir()
    store = make(folder / "live" / "bank.db")
    (folder / "live").mkdir()
    await store.open()
    for number in range(1, checkpointed + behind + 1):
        if number == checkpointed + 1:
            writer = store._writer
            assert writer is not None
            assert writer.execute("PRAGMA wal_checkpoint(FULL)").fetchone()[0] == 0
        store.commit_now(commit(number, message(number, body=f'"{number}{"x" * 500}"')).put(actor(state=str(number))))
    for _ in range(submissions):
        await store.submit([tell()])
    image = Image(folder, checkpointed, checkpointed + behind)
    copied(folder / "live", folder)
    await store.close()
    return image


def copied(source: Path, folder: Path) -> Path:
    """Copy what a killed process leaves; the WAL index isn't of use to anybody else."""
    folder.mkdir(exist_ok=True)
    for suffix in ("", "-wal", ".mark", ".slots"):
        if (source / f"bank.db{suffix}").exists():
            shutil.copy(source / f"bank.db{suffix}", folder / f"bank.db{suffix}")
    return folder
