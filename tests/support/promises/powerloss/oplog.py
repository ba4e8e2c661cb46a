"""The log of the shim, read: what was done to the disk, and what was said, in order."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ("Operation", "read")

_HEAD = struct.Struct("=cBHIQII")


class Operation(NamedTuple):
    """One record; its kinds are listed in shim.c."""

    kind: str
    mapped: bool
    error: int
    """The errno of a call that was made to fail."""
    file: int
    offset: int
    name: str
    data: bytes

    @property
    def to(self) -> str:
        """The new name, of a rename or a link."""
        return self.data.decode()


def read(path: Path) -> list[Operation]:
    """All of it. A record that the process's death has torn is left out."""
    return list(_operations(path.read_bytes()))


def _operations(log: bytes) -> Iterator[Operation]:
    at = 0
    while at + _HEAD.size <= len(log):
        kind, mapped, error, file, offset, name_length, data_length = _HEAD.unpack_from(log, at)
        at += _HEAD.size
        end = at + name_length + data_length
        if end > len(log):
            return
        name = log[at : at + name_length].decode()
        yield Operation(kind.decode(), bool(mapped), error, file, offset, name, log[at + name_length : end])
        at = end
