"""The contents that a disk may have after a power cut.

The rules are those that SQLite asks of a disk (SQLite: atomiccommit.html), no kinder:

- Synced content is there: a file's data by a sync of the file, a name by a sync of its folder, neither by the sync of
  the other.
- Of what wasn't, any part is: each page, sometimes each sector, is new or old, whatever the order of the writes was. A
  page may be torn. A file may have grown without its data: then there are zeros, or garbage.
- Names that weren't synced may be missing, or be there still: in the order in which they came, or in none. A rename is
  one step.
- A sync that failed has lost what it was for: a later one that succeeds doesn't bring it, unless its page is written
  again.
- Data stored in a shared map is as good as a write that wasn't synced.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from pathlib import Path

from .oplog import Operation

__all__ = ("PAGE", "Disk", "write")

PAGE = 4096
SECTOR = 512

NOTHING, EVERYTHING = 0, 1
"""The seeds of the two extremes: nothing that wasn't synced, and all of it (as after a kill -9)."""


class _Piece:
    """A part of a write that lies within a page; or a truncation (`data` is None)."""

    __slots__ = ("data", "lost", "offset", "synced")

    def __init__(self, offset: int, data: bytes | None) -> None:
        self.offset = offset
        self.data = data
        self.synced = False
        self.lost = False

    @property
    def end(self) -> int:
        return self.offset + len(self.data or b"")


class _File:
    def __init__(self, content: bytes = b"") -> None:
        self.content = bytearray(content)
        """The content that is certain."""
        self.pieces: list[_Piece] = []
        """The writes that came since, in order."""

    def written(self, offset: int, data: bytes) -> None:
        pages = range(offset // PAGE, (offset + len(data) - 1) // PAGE + 1)
        for piece in self.pieces:
            if piece.lost and piece.data is not None and piece.offset // PAGE in pages:
                piece.lost = False  # in memory its page has it still, and goes to the disk once more, as a whole
        at = offset
        while at < offset + len(data):
            end = min(offset + len(data), (at // PAGE + 1) * PAGE)
            self.pieces.append(_Piece(at, data[at - offset : end - offset]))
            at = end

    def truncated(self, size: int) -> None:
        self.pieces.append(_Piece(size, None))

    def sync(self, failed: bool) -> None:
        for piece in self.pieces:
            if failed:
                piece.lost = not piece.synced
            elif not piece.lost:
                piece.synced = True
        certain = next((index for index, piece in enumerate(self.pieces) if not piece.synced), len(self.pieces))
        for piece in self.pieces[:certain]:
            _apply(self.content, piece)
        del self.pieces[:certain]

    def image(self, draw: random.Random, seed: int) -> bytes:
        if not self.pieces:
            return bytes(self.content)
        content = bytearray(self.content)
        chosen = _survivors(draw, seed, self.pieces)
        for piece, survives in zip(self.pieces, chosen, strict=True):
            if piece.synced or survives:
                _apply(content, piece)
            if survives and seed > EVERYTHING and piece.data is not None and not piece.synced and draw.random() < 0.1:
                _tear(draw, content, piece, self.content)
        if seed > EVERYTHING and draw.random() < 0.25:
            _grow(draw, content, max(piece.end for piece in self.pieces))
        return bytes(content)


def _survivors(draw: random.Random, seed: int, pieces: list[_Piece]) -> list[bool]:
    if seed <= EVERYTHING:
        return [seed == EVERYTHING] * len(pieces)
    count = len(pieces)
    match draw.choice(("some", "few", "most", "first", "last", "not one")):
        case "first":
            cut = draw.randint(0, count)
            return [index < cut for index in range(count)]
        case "last":
            cut = draw.randint(0, count)
            return [index >= cut for index in range(count)]
        case "not one":
            missing = draw.randrange(count)
            return [index != missing for index in range(count)]
        case share:
            chance = {"some": 0.5, "few": 0.1, "most": 0.9}[share]
            return [draw.random() < chance for _ in range(count)]


def _apply(content: bytearray, piece: _Piece) -> None:
    size = len(content)
    if piece.data is None:
        if piece.offset < size:
            del content[piece.offset :]
        else:
            content.extend(bytes(piece.offset - size))
        return
    if piece.offset > size:
        content.extend(bytes(piece.offset - size))
    content[piece.offset : piece.end] = piece.data


def _tear(draw: random.Random, content: bytearray, piece: _Piece, before: bytearray) -> None:
    """Some sectors of a piece as they were; and a cut within one of them."""
    at = piece.offset
    while at < piece.end:
        end = min(piece.end, (at // SECTOR + 1) * SECTOR)
        if draw.random() < 0.5:
            begin = draw.randint(at, end) if draw.random() < 0.2 else at
            old = bytes(before[begin:end])
            content[begin:end] = old.ljust(end - begin, b"\0")
        at = end


def _grow(draw: random.Random, content: bytearray, size: int) -> None:
    if size > len(content):
        missing = size - len(content)
        content.extend(draw.randbytes(missing) if draw.random() < 0.5 else bytes(missing))


class Disk:
    """The disk below a folder, as the log goes on."""

    def __init__(self, before: Mapping[str, bytes] | None = None) -> None:
        """
        Args:
            before: what was there when the log began, and was synced.
        """
        self._names: dict[str, _File] = {name: _File(content) for name, content in (before or {}).items()}
        self._certain = dict(self._names)
        """The names that are on the disk."""
        self._changes: list[dict[str, _File | None]] = []
        """Of names, since: each is one step."""
        self._numbered: dict[int, _File] = {}

    def apply(self, operation: Operation) -> bool:
        """The next operation of the log; whether it changed what a power cut might leave."""
        kind, name = operation.kind, operation.name
        file = self._numbered.get(operation.file)
        match kind:
            case "S" if file is not None:
                file.sync(failed=operation.error != 0)
                return True
            case _ if operation.error:
                return False
            case "W" if file is not None:
                file.written(operation.offset, operation.data)
            case "T" if file is not None:
                file.truncated(operation.offset)
            case "C":
                self._numbered[operation.file] = created = _File()
                self._change({name: created})
            case "O":
                self._numbered[operation.file] = self._names[name]
                return False
            case "U":
                self._change({name: None})
            case "R":
                self._change({name: None, operation.to: self._names[name]})
            case "L":
                self._change({operation.to: self._names[name]})
            case "D":
                self._sync_folder(name)
            case "B":
                self._numbered.clear()
                return False
            case _:
                return False
        return True

    def _change(self, change: dict[str, _File | None]) -> None:
        self._changes.append(change)
        _rename(self._names, change)

    def _sync_folder(self, folder: str) -> None:
        rest: list[dict[str, _File | None]] = []
        for change in self._changes:
            if all(os.path.dirname(name) == folder for name in change):
                _rename(self._certain, change)
            else:
                rest.append(change)
        self._changes = rest

    def image(self, seed: int, point: int = 0) -> dict[str, bytes]:
        """The files that a power cut leaves, by name. Seeds from 2 on are drawn, each in its own way at each point."""
        draw = random.Random(f"{seed} {point}")
        names = dict(self._certain)
        for change, survives in zip(self._changes, self._surviving_changes(draw, seed), strict=True):
            if survives:
                _rename(names, change)
        return {name: names[name].image(draw, seed) for name in sorted(names)}

    def _surviving_changes(self, draw: random.Random, seed: int) -> list[bool]:
        count = len(self._changes)
        if seed <= EVERYTHING:
            return [seed == EVERYTHING] * count
        if draw.random() < 0.5:
            cut = draw.randint(0, count)
            return [index < cut for index in range(count)]
        return [draw.random() < 0.5 for _ in range(count)]


def _rename(names: dict[str, _File], change: dict[str, _File | None]) -> None:
    for name, file in change.items():
        if file is None:
            names.pop(name, None)
        else:
            names[name] = file


def write(image: Mapping[str, bytes], folder: Path) -> None:
    """Make an image the content of an empty folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in image.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
