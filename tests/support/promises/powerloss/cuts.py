"""The power cut at point after point of a log, and what comes of each.

Most images of a log differ in bytes that nobody can see: a frame that has no commit, a page that the WAL covers. So
SQLite opens each image first, checks its structure, and reads every row; a node is started on it if none was on an
image with these rows, slots and marks. (`every` asks for more.)
"""

from __future__ import annotations

import hashlib
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from greenroom.persistence.engines.sqlite.sidecars.slot_file import SLOT_BYTES
from greenroom.persistence.store.attempts import SLOTS
from powerloss.audit import Books, Said, Violation, check, check_copy, recover
from powerloss.images import Disk, write
from powerloss.oplog import Operation

__all__ = ("Cuts", "Found", "points", "sampled")

RAM = Path("/dev/shm")
MAPPED_EVERY = 3
"""The mapped files differ almost every time, so only every third time they count for whether two images differ."""


class Found(NamedTuple):
    """The first violation."""

    point: int
    """Operations of the log before the cut."""
    seed: int
    points: int
    """How many had been tried."""
    why: str


class Cuts:
    """One log, and the images that are made of it."""

    def __init__(
        self,
        operations: Sequence[Operation],
        before: Mapping[str, bytes] | None = None,
        *,
        every: bool = False,
        listen: Callable[[], Said] = Said,
        options: str = "",
    ) -> None:
        """
        Args:
            before: what was on the disk when the log began.
            every: start a node on each image, whatever its rows.
            listen: makes what hears the notes.
            options: of the URL of the store that is started.
        """
        self.operations = operations
        self.before = before
        self.every = every
        self.listen = listen
        self.options = options
        self.points = 0
        self.images = 0
        self.boots = 0
        self._known: dict[bytes, Books] = {}

    def run(
        self, chosen: Iterable[int], seeds: Sequence[int], replaced: Mapping[str, bytes] | None = None
    ) -> Found | None:
        """Cut the power at each of these points, once a seed. Returns the first violation.

        Args:
            replaced: files that have another content then.
        """
        wanted = set(chosen)
        disk, said = Disk(self.before), self.listen()
        parent = RAM if RAM.is_dir() else None
        with tempfile.TemporaryDirectory(prefix="greenroom-power-", dir=parent) as scratch:
            for point, operation in enumerate((*self.operations, None)):
                if point in wanted:
                    self.points += 1
                    for seed in seeds:
                        self.images += 1
                        try:
                            image = {**disk.image(seed, point), **(replaced or {})}
                            self._cut(image, said, Path(scratch) / f"{point}-{seed}")
                        except Exception as error:
                            why = str(error) if isinstance(error, Violation) else f"{type(error).__name__}: {error}"
                            return Found(point, seed, self.points, why)
                if operation is not None and operation.kind == "N":
                    said.hear(operation.data)
                elif operation is not None:
                    disk.apply(operation)
        return None

    def _cut(self, image: dict[str, bytes], said: Said, folder: Path) -> None:
        with_mapped = self.images % MAPPED_EVERY == 0
        key = _rows(image, folder.with_name(f"{folder.name}-seen"), with_mapped=with_mapped)
        books = self._known.get(key) if key and not self.every else None
        if books is None:
            self.boots += 1
            books = recover(image, folder, said.retold(self.boots), options=self.options)
            self._known[key] = books
        check(books, said)
        for name, wanted in said.copies.items():
            if name not in image:
                raise Violation(f"lost: the backup {name}")
            if (key := hashlib.blake2b(image[name]).digest()) not in self._known:
                copy = {name: image[name]}
                self._known[key] = recover(copy, folder.with_name(f"{folder.name}-{name}"), name=name)
            check_copy(self._known[key], wanted, said)


def points(operations: Sequence[Operation]) -> list[int]:
    """Where a cut may leave something else than a cut one operation earlier, with all that was said by then."""
    return list(_points(operations))


def _points(operations: Sequence[Operation]) -> Iterator[int]:
    for point, operation in enumerate(operations):
        if operation.kind not in "NBOH" and not operation.error:
            yield point
    yield len(operations)


def sampled(operations: Sequence[Operation], count: int, seed: int) -> list[int]:
    """Some points, drawn: half of them anywhere, half right before and after a sync, where order matters."""
    draw = random.Random(seed)
    every = points(operations)
    syncs = [point + after for point, one in enumerate(operations) if one.kind in "SDURL" for after in (0, 1)]
    some = draw.sample(every, min(len(every), count // 2)) + draw.sample(syncs, min(len(syncs), count - count // 2))
    return sorted(set(some))


def _rows(image: Mapping[str, bytes], folder: Path, *, with_mapped: bool) -> bytes:
    """The part of an image that a node can see, as a digest; empty if SQLite finds no rows in it.

    Raises:
        Violation: its structure is damaged.
    """
    if not image.get("p.db"):
        return b""
    summed = hashlib.blake2b(digest_size=16)
    write({name: content for name, content in image.items() if name.startswith("p.db")}, folder)
    try:
        with closing(sqlite3.connect(f"file:{folder / 'p.db'}?mode=rw", uri=True)) as connection:
            (structure,) = connection.execute("PRAGMA integrity_check").fetchone()
            if structure != "ok":
                raise Violation(f"integrity_check: {structure}")
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type='table'")]
            if not tables:
                return b""
            for table in sorted(tables):
                summed.update(repr((table, connection.execute(f'SELECT * FROM "{table}"').fetchall())).encode())
    finally:
        with suppress(FileNotFoundError):
            shutil.rmtree(folder)
    if with_mapped:
        slots = image.get("p.db.slots", b"")
        if len(slots) == SLOT_BYTES * (2 * SLOTS + 1) and slots.startswith(b"greenroom slots"):
            taken = [slots[at : at + SLOT_BYTES] for at in range(0, len(slots), SLOT_BYTES) if slots[at]]
            summed.update(repr(taken).encode())
        else:
            summed.update(b"damaged" if slots else b"none")
        summed.update(image.get("p.db.mark", b""))
    summed.update(image.get("p.db.hang", b""))
    return summed.digest()
