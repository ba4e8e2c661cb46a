"""The slot file: which messages were being handled when the process ended, and the list of suspects.

A start must be noted before the handler runs, and mustn't cost a transaction. So it is written into a shared memory
map, which outlives the process (not the machine, but a power cut is no crash of a message). Each runner of the node
owns a slot. Behind the slots there are as many places for the list of suspects.

A record has 192 bytes: state, uid (16), length of the address, address in UTF-8, cut to fit. On the list there follow,
at the end: limit (2), deaths, spared. A header of one record's size says what the file is, and since which start of the
machine it is in use. Records from an earlier start of the machine may be old, so their messages become suspects anew
and are charged with nothing. Files of version 1 had no list; their slots are taken over.
"""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from ....errors import StoreFull, StoreUnavailable
from ....store.attempts import SLOTS, AttemptLog, Started, Verdict

__all__ = ("SlotFile", "peek")

SLOT_BYTES: Final = 192
ADDRESS_BYTES_MAX: Final = SLOT_BYTES - 22

_TITLE: Final = b"greenroom slots 2\n"
_TITLE_1: Final = b"greenroom slots 1\n"
_MACHINE_AT: Final = 32
_MACHINE_BYTES: Final = 64
_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
_STARTED, _RUNNING, _WAITING, _HANG = b"S", b"R", b"W", b"H"
_SUSPECT, _CRASH = b"U", b"A"
TAILS_MAX: Final = 1024
"""The bytes of so many addresses are cached."""
COUNT_MAX: Final = 255
"""The highest number of deaths that a record can say."""

fromhex = bytes.fromhex

_STATES: Final[dict[Verdict, bytes]] = {
    "started": _STARTED,
    "running": _RUNNING,
    "waiting": _WAITING,
    "hang": _HANG,
    "suspect": _SUSPECT,
    "crash": _CRASH,
}
_VERDICTS: Final[dict[int, Verdict]] = {state[0]: verdict for verdict, state in _STATES.items()}


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
        self._list_at = SLOT_BYTES * (slots + 1)
        """The offset of the list of suspects."""

    def open(self) -> list[Started]:
        size = self._list_at + SLOT_BYTES * self.slots
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
            try:
                if hasattr(os, "fchmod"):
                    os.fchmod(descriptor, 0o600)  # the umask may have taken bits of ours
                found = _read(descriptor, size + 1)
                if found.startswith(_TITLE_1) and len(found) == self._list_at:
                    found = _of_version_1(found).ljust(size, b"\0")
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
        for record in range(2 * self.slots):
            at = SLOT_BYTES * (record + 1)
            if content[at]:
                started = _parse(record % self.slots, content[at : at + SLOT_BYTES], listed=record >= self.slots)
                if started is None:
                    self.damaged = True
                else:
                    self.left.append(started)
        return self.left

    def note(self, slot: int, uid_hex: str, address: str, running: bool = False) -> None:
        tail = self._tails.get(address) or self._tail(address)
        record = (_RUNNING if running else _STARTED) + fromhex(uid_hex) + tail
        at = SLOT_BYTES * (slot + 1)
        self._map[at : at + len(record)] = record  # type: ignore[index]  # callers see to it that it is open

    def _tail(self, address: str) -> bytes:
        raw = address.encode()[:ADDRESS_BYTES_MAX]
        if len(self._tails) >= TAILS_MAX:
            self._tails.clear()
        tail = self._tails[address] = bytes((len(raw),)) + raw
        return tail

    def mark(self, slot: int, running: bool) -> None:
        at = SLOT_BYTES * (slot + 1)
        if self._map is not None and self._map[at]:
            self._map[at] = (_RUNNING if running else _WAITING)[0]

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

    def write_suspects(self, suspects: Sequence[Started]) -> None:
        if self._map is not None:
            listed = b"".join(_record(suspect) for suspect in suspects)
            self._map[SLOT_BYTES:] = bytes(SLOT_BYTES * self.slots) + listed.ljust(SLOT_BYTES * self.slots, b"\0")

    def write_suspect(self, place: int, suspect: Started | None) -> None:
        if self._map is not None:
            at = self._list_at + SLOT_BYTES * place
            if suspect is None:
                self._map[at] = 0
            else:
                self._map[at : at + SLOT_BYTES] = _record(suspect)

    def disown(self) -> None:
        """This is a forked child, and the file is the parent's: what is still noted here is noted nowhere."""
        self._map = bytearray(SLOT_BYTES * (self.slots + 1))
        self.report_path = os.devnull

    def close(self) -> None:
        if isinstance(self._map, mmap.mmap):
            self._map.close()
        self._map = None


def peek(path: str) -> tuple[list[Started], list[Started]]:
    """The messages that are being handled, and the list of suspects, by the slot file at a path. It is read beside its
    node, and nothing is changed.

    Raises:
        OSError: it can't be read. ValueError: it is no slot file of this version.
    """
    with open(path, "rb") as file:
        content = file.read()
    count, rest = divmod(len(content) - SLOT_BYTES, 2 * SLOT_BYTES)
    if rest or count < 1 or not content.startswith(_TITLE):
        raise ValueError(f"{path} is no slot file of this version")
    found: tuple[list[Started], list[Started]] = ([], [])
    for place in range(2 * count):
        raw = content[SLOT_BYTES * (place + 1) : SLOT_BYTES * (place + 2)]
        started = _parse(place % count, raw, listed=place >= count) if raw[0] else None
        if started is not None:
            found[place >= count].append(started)
    return found


def _header() -> bytes:
    return (_TITLE.ljust(_MACHINE_AT, b"\0") + _machine_boot()).ljust(SLOT_BYTES, b"\0")


def _machine_boot() -> bytes:
    """The name of the machine's latest start; empty where the system doesn't give one (Linux does)."""
    try:
        with open(_BOOT_ID, "rb") as file:
            return file.read(_MACHINE_BYTES).strip()
    except OSError:
        return b""


def _record(suspect: Started) -> bytes:
    """The record of a suspect on the list."""
    raw = suspect.address.encode()[:ADDRESS_BYTES_MAX]
    record = _STATES[suspect.verdict] + fromhex(suspect.uid) + bytes((len(raw),)) + raw
    deaths = min(suspect.deaths, COUNT_MAX)
    return record.ljust(SLOT_BYTES - 4, b"\0") + suspect.limit.to_bytes(2, "big") + bytes((deaths, suspect.spared))


def _of_version_1(found: bytes) -> bytes:
    """The same slots in a file of this version. The letter for a solo run is now that of a charge that is due."""
    content = bytearray(_header() + found[SLOT_BYTES:])
    content[_MACHINE_AT : _MACHINE_AT + _MACHINE_BYTES] = found[_MACHINE_AT : _MACHINE_AT + _MACHINE_BYTES]
    for at in range(SLOT_BYTES, len(content), SLOT_BYTES):
        content[at + 17] = min(content[at + 17], ADDRESS_BYTES_MAX)
    return bytes(content)


def _of_this_machine(found: bytes) -> bytes:
    """The content of a whole file, to go on with. Records from another start of the machine are made mere suspects."""
    header = _header()
    machine = found[_MACHINE_AT : _MACHINE_AT + _MACHINE_BYTES].rstrip(b"\0")
    content = bytearray(found)
    content[:SLOT_BYTES] = header
    if machine and machine != header[_MACHINE_AT : _MACHINE_AT + _MACHINE_BYTES].rstrip(b"\0"):
        for at in range(SLOT_BYTES, len(content), SLOT_BYTES):
            if content[at] in _VERDICTS:
                content[at] = _STARTED[0]
                content[at + SLOT_BYTES - 4 : at + SLOT_BYTES] = bytes(4)
    return bytes(content)


def _parse(place: int, raw: bytes, *, listed: bool) -> Started | None:
    verdict = _VERDICTS.get(raw[0])
    length = raw[17]
    if verdict is None or length > ADDRESS_BYTES_MAX:
        return None
    found = Started(place, verdict, raw[1:17].hex(), raw[18 : 18 + length].decode(errors="ignore"))
    if listed:
        found = found._replace(limit=int.from_bytes(raw[-4:-2], "big"), deaths=raw[-2], spared=bool(raw[-1]))
    return found


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
