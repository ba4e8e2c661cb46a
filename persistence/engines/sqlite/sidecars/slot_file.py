"""The slot file: which messages were being handled when the process ended.

A start must be noted before the handler runs, and mustn't cost a transaction. So it is written into a shared memory
map, which outlives the process (not the machine, but a power cut is no crash of a message). Each runner of the node
owns a slot.

A slot has 192 bytes: state, uid (16), length of the address, address in UTF-8, cut to fit. A header of one slot's size
says what the file is, and since which start of the machine it is in use. Slots from an earlier start of the machine may
be old, so their messages become suspects and are charged with nothing.
"""

from __future__ import annotations

import errno
import mmap
import os
from contextlib import suppress
from typing import Final

from ....errors import StoreFull, StoreUnavailable
from ....store.attempts import SLOTS, AttemptLog, Started, Verdict

__all__ = ("SlotFile",)

SLOT_BYTES: Final = 192
ADDRESS_BYTES_MAX: Final = SLOT_BYTES - 18

_TITLE: Final = b"greenroom slots 1\n"
_MACHINE_AT: Final = 32
_MACHINE_BYTES: Final = 64
_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
_STARTED, _SOLO, _HANG = b"S", b"A", b"H"
TAILS_MAX: Final = 1024
"""The bytes of so many addresses are cached."""

fromhex = bytes.fromhex

_VERDICTS: Final[dict[int, Verdict]] = {_STARTED[0]: "started", _SOLO[0]: "solo", _HANG[0]: "hang"}


class SlotFile(AttemptLog):
    """The slot file beside a database."""

    def __init__(self, path: str, report_path: str, slots: int = SLOTS) -> None:
        self.path = path
        self.report_path = report_path
        self.slots = slots
        self.damaged = False
        self.left: list[Started] = []
        self._map: mmap.mmap | bytearray | None = None
        self._tails: dict[str, bytes] = {}

    def open(self) -> list[Started]:
        size = SLOT_BYTES * (self.slots + 1)
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
            try:
                if hasattr(os, "fchmod"):
                    os.fchmod(descriptor, 0o600)  # the umask may have taken bits of ours
                found = _read(descriptor, size + 1)
                whole = len(found) == size and found.startswith(_TITLE)
                self.damaged = bool(found) and not whole
                content = _of_this_machine(found) if whole else _header().ljust(size, b"\0")
                # Written in full each time: a page without a disk block would be a SIGBUS on a full disk.
                _write(descriptor, content)
                os.ftruncate(descriptor, size)
                self._map = mmap.mmap(descriptor, size)
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreFull(f"{self.path}: {error.strerror}") from error
            raise StoreUnavailable(f"{self.path}: {error.strerror}") from error
        self.left = []
        for slot in range(self.slots):
            at = SLOT_BYTES * (slot + 1)
            if content[at]:
                started = _parse(slot, content[at : at + SLOT_BYTES])
                if started is None:
                    self.damaged = True
                else:
                    self.left.append(started)
        return self.left

    def note(self, slot: int, uid_hex: str, address: str, solo: bool = False) -> None:
        tail = self._tails.get(address) or self._tail(address)
        record = (_SOLO if solo else _STARTED) + fromhex(uid_hex) + tail
        at = SLOT_BYTES * (slot + 1)
        self._map[at : at + len(record)] = record  # type: ignore[index]  # callers see to it that it is open

    def _tail(self, address: str) -> bytes:
        raw = address.encode()[:ADDRESS_BYTES_MAX]
        if len(self._tails) >= TAILS_MAX:
            self._tails.clear()
        tail = self._tails[address] = bytes((len(raw),)) + raw
        return tail

    def clear(self, slot: int) -> None:
        self._map[SLOT_BYTES * (slot + 1)] = 0  # type: ignore[index]

    def hang(self, slot: int, stack: str) -> None:
        if self._map is not None:
            self._map[SLOT_BYTES * (slot + 1)] = _HANG[0]
        with suppress(OSError):  # on a full disk the verdict must do
            descriptor = os.open(self.report_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                _write(descriptor, stack.encode(errors="replace"))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def hang_report(self) -> str:
        try:
            with open(self.report_path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def reset(self) -> None:
        if self._map is not None:
            self._map[SLOT_BYTES:] = bytes(SLOT_BYTES * self.slots)
        self.left = []
        with suppress(OSError):
            os.unlink(self.report_path)

    def disown(self) -> None:
        """This is a forked child, and the file is the parent's: what is still noted here is noted nowhere."""
        self._map = bytearray(SLOT_BYTES * (self.slots + 1))
        self.report_path = os.devnull

    def close(self) -> None:
        if isinstance(self._map, mmap.mmap):
            self._map.close()
        self._map = None


def _header() -> bytes:
    return (_TITLE.ljust(_MACHINE_AT, b"\0") + _machine_boot()).ljust(SLOT_BYTES, b"\0")


def _machine_boot() -> bytes:
    """The name of the machine's latest start; empty where the system doesn't give one (Linux does)."""
    try:
        with open(_BOOT_ID, "rb") as file:
            return file.read(_MACHINE_BYTES).strip()
    except OSError:
        return b""


def _of_this_machine(found: bytes) -> bytes:
    """The content of a whole file, to go on with. Slots from another start of the machine are made mere suspects."""
    header = _header()
    machine = found[_MACHINE_AT : _MACHINE_AT + _MACHINE_BYTES].rstrip(b"\0")
    content = bytearray(found)
    content[:SLOT_BYTES] = header
    if machine and machine != header[_MACHINE_AT : _MACHINE_AT + _MACHINE_BYTES].rstrip(b"\0"):
        for at in range(SLOT_BYTES, len(content), SLOT_BYTES):
            if content[at] in _VERDICTS:
                content[at] = _STARTED[0]
    return bytes(content)


def _parse(slot: int, raw: bytes) -> Started | None:
    verdict = _VERDICTS.get(raw[0])
    length = raw[17]
    if verdict is None or length > ADDRESS_BYTES_MAX:
        return None
    return Started(slot, verdict, raw[1:17].hex(), raw[18 : 18 + length].decode(errors="ignore"))


def _read(descriptor: int, most: int) -> bytes:
    parts: list[bytes] = []
    while most > 0 and (part := os.read(descriptor, most)):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def _write(descriptor: int, content: bytes) -> None:
    os.lseek(descriptor, 0, os.SEEK_SET)
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
