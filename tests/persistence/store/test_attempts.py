from __future__ import annotations

import os
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from greenroom.persistence.engines.memory.data import MemoryAttempts
from greenroom.persistence.engines.sqlite.sidecars.slot_file import ADDRESS_BYTES_MAX, SlotFile, peek
from greenroom.persistence.errors import StoreUnavailable
from greenroom.persistence.store.attempts import AttemptLog, Started

UID = "0123456789abcdef0123456789abcdef"


def slots(folder: Path, count: int = 16) -> SlotFile:
    return SlotFile(str(folder / "bank.db.slots"), str(folder / "bank.db.hang"), count)


@pytest.fixture(params=["file", "memory"])
def attempts(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    made: AttemptLog = slots(tmp_path) if request.param == "file" else MemoryAttempts(16)
    assert made.open() == []
    yield made
    made.close()


def again(attempts: Any) -> list[Started]:
    """The attempts that the next life finds."""
    attempts.close()
    found: list[Started] = attempts.open()
    assert found == attempts.left
    return found


def test_a_clean_end_leaves_nothing(attempts: Any) -> None:
    for slot in range(16):
        attempts.note(slot, UID, "/a")
        attempts.clear(slot)
    assert again(attempts) == []
    assert not attempts.damaged


def test_what_was_started_is_left(attempts: Any) -> None:
    attempts.note(0, UID, "/a")
    attempts.note(7, UID[::-1], "/b", True)
    attempts.note(15, UID, "")
    assert again(attempts) == [
        Started(0, "started", UID, "/a"),
        Started(7, "running", UID[::-1], "/b"),
        Started(15, "started", UID, ""),
    ]
    assert again(attempts) == attempts.left  # until the list of suspects is written


def test_a_slot_is_used_again(attempts: Any) -> None:
    attempts.note(1, UID, "/a/long/address")
    attempts.clear(1)
    attempts.note(1, UID, "/b")
    attempts.note(1, UID[::-1], "/c")
    assert again(attempts) == [Started(1, "started", UID[::-1], "/c")]


def test_a_handler_that_waits_and_goes_on(attempts: Any) -> None:
    for slot, running in enumerate((True, False)):
        attempts.note(slot, UID, "/a", True)
        attempts.mark(slot, not running)
        attempts.mark(slot, running)
    attempts.mark(2, True)  # nothing is noted there
    attempts.note(3, UID, "/a", True)
    attempts.clear(3)
    attempts.mark(3, False)
    assert again(attempts) == [Started(0, "running", UID, "/a"), Started(1, "waiting", UID, "/a")]


SUSPECTS = [
    Started(0, "suspect", UID, "/a", limit=50, deaths=2, spared=True),
    Started(1, "crash", UID[::-1], "/b", limit=1, deaths=9),
    Started(2, "hang", "22" * 16, "/c"),
]


def test_the_list_of_suspects_takes_the_place_of_all_notes(attempts: Any) -> None:
    attempts.note(1, UID, "/a")
    attempts.write_suspects(SUSPECTS)
    assert again(attempts) == SUSPECTS
    attempts.note(2, "33" * 16, "/d")
    assert again(attempts) == [Started(2, "started", "33" * 16, "/d"), *SUSPECTS]
    attempts.write_suspects([])
    assert again(attempts) == []


def test_one_place_of_the_list_changes(attempts: Any) -> None:
    attempts.write_suspects(SUSPECTS)
    attempts.write_suspect(0, None)
    attempts.write_suspect(1, SUSPECTS[1]._replace(verdict="suspect"))
    assert again(attempts) == [SUSPECTS[1]._replace(verdict="suspect"), SUSPECTS[2]]


def test_numbers_that_have_no_room(tmp_path: Path) -> None:
    attempts = slots(tmp_path)
    attempts.open()
    attempts.write_suspects([SUSPECTS[0]._replace(limit=4096, deaths=1000)])
    assert again(attempts) == [SUSPECTS[0]._replace(limit=4096, deaths=255)]
    attempts.close()


def version_1(*slots_found: tuple[int, bytes, str, str]) -> bytes:
    """A slot file of an earlier greenroom: no list, and a letter A for a solo run."""
    content = bytearray(17 * 192)
    content[:18] = b"greenroom slots 1\n"
    for slot, state, uid, address in slots_found:
        raw = address.encode()
        record = state + bytes.fromhex(uid) + bytes((len(raw),)) + raw
        content[192 * (slot + 1) : 192 * (slot + 1) + len(record)] = record
    return bytes(content)


def test_a_file_of_version_1_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "bank.db.slots"
    path.write_bytes(version_1((1, b"S", UID, "/a"), (2, b"A", "22" * 16, "/b"), (3, b"H", "33" * 16, "/" + "c" * 173)))
    attempts = slots(tmp_path)
    assert attempts.open() == [
        Started(1, "started", UID, "/a"),
        Started(2, "crash", "22" * 16, "/b"),
        Started(3, "hang", "33" * 16, "/" + "c" * (ADDRESS_BYTES_MAX - 1)),
    ]
    assert not attempts.damaged
    attempts.close()
    assert path.read_bytes().startswith(b"greenroom slots 2\n")
    assert path.stat().st_size == 33 * 192


def test_the_watchdogs_word(attempts: Any) -> None:
    assert attempts.hang_report() == ""
    attempts.note(1, UID, "/a")
    attempts.note(2, UID, "/b", True)
    watchdog = Thread(target=attempts.hang, args=(2, 'File "bank.py"\n  è\udcff'))
    watchdog.start()
    watchdog.join()
    assert [(started.slot, started.verdict) for started in again(attempts)] == [(1, "started"), (2, "hang")]
    assert attempts.hang_report().startswith('File "bank.py"\n  è')


@pytest.mark.parametrize("letter", ["x", "é", "語", "😀"])
def test_long_addresses_are_cut_at_a_character(tmp_path: Path, letter: str) -> None:
    attempts = slots(tmp_path)
    attempts.open()
    attempts.note(1, UID, "/" + letter * 500)
    attempts.note(2, UID, "/b")
    left = again(attempts)
    attempts.close()
    assert left[0].address == "/" + letter * ((ADDRESS_BYTES_MAX - 1) // len(letter.encode()))
    assert left[1].address == "/b"


def test_the_file_is_private_and_really_there(tmp_path: Path) -> None:
    attempts = slots(tmp_path, 4096)
    attempts.open()
    attempts.close()
    found = (tmp_path / "bank.db.slots").stat()
    assert found.st_mode & 0o777 == 0o600
    assert found.st_size == 8193 * 192
    assert found.st_blocks * 512 >= found.st_size


def test_a_sparse_copy_gets_its_blocks(tmp_path: Path) -> None:
    attempts = slots(tmp_path, 4096)
    attempts.open()
    attempts.note(4000, UID, "/a")
    attempts.close()
    path = tmp_path / "bank.db.slots"
    content = path.read_bytes()
    path.unlink()
    with path.open("wb") as file:
        file.truncate(len(content))
        file.write(content[:192])
        file.seek(4001 * 192)
        file.write(content[4001 * 192 : 4002 * 192])
    left = attempts.open()
    attempts.close()
    assert left == [Started(4000, "started", UID, "/a")]
    assert path.stat().st_blocks * 512 >= len(content)


def test_after_a_restart_of_the_machine_nobody_is_charged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file that nobody syncs says after a power cut what was true when it came."""
    attempts = slots(tmp_path)
    attempts.open()
    attempts.write_suspects([SUSPECTS[1]._replace(address="/d")])
    attempts.note(1, UID, "/a", True)
    attempts.note(2, UID, "/b")
    attempts.note(3, UID, "/c")
    attempts.hang(3, "stack")
    assert [started.verdict for started in again(attempts)] == ["running", "started", "hang", "crash"]
    monkeypatch.setattr("greenroom.persistence.engines.sqlite.sidecars.slot_file._machine_boot", lambda: b"another")
    assert [started[1:] for started in again(attempts)] == [
        ("started", UID, "/a", 0, 0, False),
        ("started", UID, "/b", 0, 0, False),
        ("started", UID, "/c", 0, 0, False),
        ("started", UID[::-1], "/d", 0, 0, False),
    ]
    attempts.write_suspects([])
    attempts.note(1, UID, "/a", True)
    assert [started.verdict for started in again(attempts)] == ["running"]
    monkeypatch.setattr("greenroom.persistence.engines.sqlite.sidecars.slot_file._machine_boot", lambda: b"")
    assert {started.verdict for started in again(attempts)} == {"started"}, "nobody knows"
    attempts.note(1, UID, "/a", True)
    assert [started.verdict for started in again(attempts)] == ["running"], "it never says"
    attempts.close()


@pytest.mark.parametrize(
    "content",
    [
        b"x",
        b"\0" * 33 * 192,
        os.urandom(33 * 192),
        b"greenroom slots 2\n",
        b"greenroom slots 3\n".ljust(33 * 192, b"\0"),
    ],
    ids=["short", "zeros", "noise", "truncated", "other-version"],
)
def test_a_garbled_file_is_reported_and_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bank.db.slots").write_bytes(content)
    attempts = slots(tmp_path)
    assert attempts.open() == []
    assert attempts.damaged
    attempts.note(1, UID, "/a")
    assert again(attempts) == [Started(1, "started", UID, "/a")]
    assert not attempts.damaged
    attempts.close()


def test_a_garbled_slot_spoils_itself_alone(tmp_path: Path) -> None:
    attempts = slots(tmp_path)
    attempts.open()
    attempts.note(1, UID, "/a")
    attempts.note(2, UID, "/b")
    attempts.note(3, UID, "/c")
    attempts.close()
    path = tmp_path / "bank.db.slots"
    content = bytearray(path.read_bytes())
    content[2 * 192] = ord("?")
    content[3 * 192 + 17] = 255
    path.write_bytes(content)
    assert attempts.open() == [Started(3, "started", UID, "/c")]
    assert attempts.damaged
    attempts.write_suspects([])
    assert again(attempts) == []
    assert not attempts.damaged
    attempts.close()


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        slots(tmp_path / "missing").open()


def test_slots_survive_kill_9(tmp_path: Path, spawn: Any) -> None:
    child = spawn("note", tmp_path / "bank.db")
    assert child.stdout.readline() == "noted\n"
    child.kill()
    child.wait()
    attempts = slots(tmp_path, 4096)
    assert attempts.open() == [
        Started(1, "started", "11" * 16, "/bank/alice"),
        Started(2, "running", "22" * 16, "/bank/bob"),
        Started(3, "hang", "33" * 16, "/bank/eve"),
    ]
    assert attempts.hang_report() == "stack of the guilty\n"
    attempts.close()


def test_a_slot_file_is_read_beside_its_node(tmp_path: Path) -> None:
    made = slots(tmp_path)
    made.open()
    suspect = Started(0, "suspect", UID, "/a", deaths=2)
    made.write_suspects([suspect])
    made.note(3, UID[::-1], "/b", True)
    before = Path(made.path).read_bytes()
    assert peek(made.path) == ([Started(3, "running", UID[::-1], "/b")], [suspect])
    assert Path(made.path).read_bytes() == before
    made.close()
    for content in (b"", b"greenroom slots 1\n".ljust(192 * 33, b"\0"), before[:-1], before[: 192 * 2]):
        Path(made.path).write_bytes(content)
        with pytest.raises(ValueError, match="is no slot file of this version"):
            peek(made.path)
