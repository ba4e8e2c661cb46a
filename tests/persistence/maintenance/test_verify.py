"""Damage is found, and said: which row has it, what comes of it, what helps."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlite_stores import Make
from store_samples import actor, commit, message, pairs, tell

from greenroom.persistence.engines.sqlite.driver import connect
from greenroom.persistence.errors import SchemaTooNew, StoreCorrupt
from greenroom.persistence.maintenance import verify
from greenroom.persistence.maintenance.verify import Findings, verify_store
from greenroom.persistence.migrations.migration import migrate
from greenroom.persistence.migrations.version import SCHEMA_VERSION
from greenroom.persistence.store.checksums import seal
from greenroom.persistence.store.commit import Commit
from greenroom.persistence.store.rows import ROWS, ActorRow, InboxRow, MessageRow, ReplyRow

ACTORS = [actor(f"/bank/{name}", f'{{"balance":{balance}}}') for name, balance in (("alice", 7), ("bob", -250))]
MESSAGES = [
    message(1, address="/bank/bob", key="k1", body='{"$type":"Deposit","amount":5}'),
    message(300, due=1.5, priority=-3, sender="/bank/alice"),
]


async def filled(make: Make) -> Path:
    """A store with a row of each kind and some more, closed in order: all of it is in its one file."""
    store = make()
    await store.open()
    first = Commit(1).put(*(row for row, _, _ in pairs() if not isinstance(row, MessageRow | InboxRow | ActorRow)))
    first.inserts.extend(MESSAGES)
    store.commit_now(first.put(*ACTORS))
    await store.submit([tell()])
    await store.close()
    return Path(store.path)


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(str(path), reads_only=True)) as connection:
        yield connection


def look(path: Path) -> Findings:
    with opened(path) as connection:
        return verify_store(connection, str(path))


def sql(path: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement, values)


async def test_nothing_is_damaged(make: Make) -> None:
    path = await filled(make)
    calls: list[tuple[int, int]] = []
    with opened(path) as connection:
        findings = verify_store(connection, str(path), lambda *numbers: calls.append(numbers))
        assert connection.text_factory is str
    assert (findings.count, findings.structure, findings.damages) == (0, 0, [])
    assert findings.rows == len(ACTORS) + len(MESSAGES) + len(ROWS) - 2
    assert (calls[0], calls[-1]) == ((0, 0), (findings.rows, findings.rows))


@pytest.mark.parametrize("table", list(ROWS.values()), ids=[table.name for table in ROWS.values()])
async def test_each_kind_of_row(make: Make, table: Any) -> None:
    """Each has a consequence and a remedy of its own, with the names filled in."""
    path = await filled(make)
    sql(path, f'UPDATE "{table.name}" SET crc = crc + 1')
    findings = look(path)
    assert findings.count >= 1
    assert findings.structure == 0
    for damage in findings.damages:
        assert damage.table == table.name
        assert len(damage.key) == table.key
        assert "checksum" in damage.why
        assert damage.effect
        assert damage.remedy
        assert "{" not in damage.effect + damage.remedy


async def test_what_is_said_of_a_state_and_a_message(make: Make) -> None:
    path = await filled(make)
    sql(path, "UPDATE greenroom_actor SET state = ? WHERE address = '/bank/bob'", '{"balance":250}')
    sql(path, "UPDATE greenroom_message SET address = '/bank/eve' WHERE id = 300")
    by_table = {damage.table: damage for damage in look(path).damages}
    assert set(by_table) == {"greenroom_actor", "greenroom_message"}
    state, mail = by_table["greenroom_actor"], by_table["greenroom_message"]
    assert (state.key, state.address) == (("/bank/bob",), "/bank/bob")
    assert "doesn't start" in state.effect
    assert "greenroom actors reset /bank/bob" in state.remedy
    assert (mail.key, mail.address) == (("300",), "/bank/eve")
    assert "dead letter" in mail.effect


@pytest.mark.parametrize(("column", "value"), [("key", None), ("body", 5), ("body", b"\xff\x00"), ("uid", "\x00")])
async def test_values_of_any_type(make: Make, column: str, value: Any) -> None:
    path = await filled(make)
    sql(path, f'UPDATE greenroom_message SET "{column}" = ? WHERE id = 1', value)
    assert [damage.key for damage in look(path).damages] == [("1",)]


async def test_text_that_isnt_utf8(make: Make) -> None:
    path = await filled(make)
    sql(path, "UPDATE greenroom_actor SET state = CAST(x'7bff7d' AS TEXT) WHERE address = '/bank/alice'")
    (damage,) = look(path).damages
    assert damage.key == ("/bank/alice",)


async def test_what_is_whole_and_no_json(make: Make) -> None:
    store = make()
    await store.open()
    store.commit_now(commit(1, message(1, body="{")).put(seal(ActorRow("/a", "A", "tru", 1, 1.0))))
    store.commit_now(Commit(2).put(seal(ReplyRow(1, 0, "no JSON is needed here", "ValueError", 1.0))))
    await store.close()
    whys = {damage.table: damage.why for damage in look(Path(store.path)).damages}
    assert set(whys) == {"greenroom_message", "greenroom_actor"}
    assert whys["greenroom_message"].startswith("body isn't JSON")
    assert whys["greenroom_actor"].startswith("state isn't JSON")


async def test_the_owner_has_no_checksum_but_makes_sense(make: Make) -> None:
    path = await filled(make)
    sql(path, "UPDATE greenroom_owner SET epoch = -1")
    (damage,) = look(path).damages
    assert (damage.table, damage.why) == ("greenroom_owner", "epoch is -1")


async def test_more_damage_than_anyone_reads_is_counted(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    path = await filled(make)
    monkeypatch.setattr(verify, "SHOWN_MAX", 2)
    sql(path, "UPDATE greenroom_message SET priority = 9")
    sql(path, "UPDATE greenroom_actor SET incarnation = 9")
    findings = look(path)
    assert (findings.count, len(findings.damages)) == (4, 2)


async def test_beside_a_node(make: Make) -> None:
    """It sees what is committed, in the WAL too, and the node goes on between two pieces of a table."""
    store = make()
    await store.open()
    store.commit_now(commit(1, *(message(number) for number in range(1, 2501))))
    numbers = iter(range(2, 100))

    def commit_more(done: int, total: int) -> None:
        number = next(numbers)
        store.commit_now(commit(number, message(10_000 + number)))

    with opened(Path(store.path)) as connection:
        findings = verify_store(connection, store.path, commit_more)
    assert findings.count == 0
    assert findings.rows >= 2500


async def test_an_older_schema_has_its_structure_checked(tmp_path: Path) -> None:
    path = tmp_path / "bank.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, str(path), 0, 1)
    findings = look(path)
    assert (findings.schema_version, findings.rows, findings.count) == (1, 0, 0)


async def test_what_is_no_store_is_refused(make: Make, tmp_path: Path) -> None:
    path = await filled(make)
    sql(path, f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    with pytest.raises(SchemaTooNew):
        look(path)
    sql(path, "PRAGMA application_id=7")
    with pytest.raises(StoreCorrupt):
        look(path)


async def test_ctrl_c_ends_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    path = await filled(make)
    monkeypatch.setattr(verify, "INSTRUCTIONS", 1)
    monkeypatch.setattr(verify, "look_for_signals", lambda: 1)  # as after an exception in the handler
    with opened(path) as connection:
        with pytest.raises(KeyboardInterrupt):
            verify_store(connection, str(path))
        assert connection.execute("SELECT count(*) FROM greenroom_message").fetchone() == (len(MESSAGES),)


async def test_a_damaged_page_is_one_of_the_structure(make: Make) -> None:
    path = await filled(make)
    cells = list(cells_of(path, "greenroom_message"))
    with open(path, "r+b") as file:
        file.seek(cells[0][0] - cells[0][0] % 4096)
        file.write(b"\x00" * 4096)
    findings = look(path)
    assert findings.structure >= 1
    assert findings.damages[0].table == ""
    assert "backup" in findings.damages[0].remedy


TABLES = ("greenroom_message", "greenroom_actor")

# -- every single bit --------------------------------------------------------------------------------------


def cells_of(path: Path, table: str) -> Iterator[tuple[int, int]]:
    """Where in the file each row of a table of one page lies: (begin, end). SQLite: fileformat.html, 1.6"""
    with closing(sqlite3.connect(path)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    raw = path.read_bytes()
    page = (root - 1) * 4096
    assert raw[page] == 13, "a leaf of a table"
    count = int.from_bytes(raw[page + 3 : page + 5], "big")
    for number in range(count):
        place = page + 8 + 2 * number
        begin = page + int.from_bytes(raw[place : place + 2], "big")
        assert raw[begin] < 128, "a payload whose length is one byte"
        rowid = 1 if raw[begin + 1] < 128 else 2
        yield begin, begin + 1 + rowid + raw[begin]


def contents(path: Path) -> dict[str, list[Any]]:
    with opened(path) as connection:
        return {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in TABLES}


@pytest.mark.parametrize("cell", [0, 1])
@pytest.mark.parametrize("table", TABLES)
async def test_every_flipped_bit_is_found(make: Make, table: str, cell: int) -> None:
    """By SQLite, by the checksum, or because the file isn't taken at all; what passes is what was written."""
    path = await filled(make)
    sql(path, "PRAGMA journal_mode=DELETE")  # no WAL to be made and removed a thousand times
    whole = contents(path)
    cells = list(cells_of(path, table))
    assert len(cells) == len(whole[table]) == 2
    found = {"refused": 0, "structure": 0, "checksum": 0, "harmless": 0}
    descriptor = os.open(path, os.O_RDWR)
    try:
        for place in range(*cells[cell]):
            (byte,) = os.pread(descriptor, 1, place)
            for bit in range(8):
                os.pwrite(descriptor, bytes([byte ^ 1 << bit]), place)
                found[outcome(path, table, whole)] += 1
            os.pwrite(descriptor, bytes([byte]), place)
    finally:
        os.close(descriptor)
    assert sum(found.values()) > 400
    assert found["checksum"] > found["structure"], "it takes the checksum to find most of them"
    assert found["harmless"] < 10
    assert look(path).count == 0


def outcome(path: Path, table: str, whole: dict[str, list[Any]]) -> str:
    try:
        findings = look(path)
    except StoreCorrupt:
        return "refused"
    if findings.count > findings.structure:
        assert table in {damage.table for damage in findings.damages}
        return "checksum"
    if findings.structure:
        return "structure"
    assert contents(path) == whole, "silently wrong data"
    return "harmless"
