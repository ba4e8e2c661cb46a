"""Whatever is committed, the memory store and SQLite hold the same afterwards."""

from __future__ import annotations

import tempfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.persistence.engines.memory.engine import MemoryStore
from greenroom.persistence.engines.sqlite.engine import SqliteStore
from greenroom.persistence.errors import StoreError
from greenroom.persistence.runtime import Runtime
from greenroom.persistence.store.checksums import seal, verify
from greenroom.persistence.store.commit import Commit
from greenroom.persistence.store.rows import ROWS, MessageRow, Row, columns

TEXT = st.sampled_from(["", "/a", "/a/b", "/é", "\x00", "😀"]) | st.text(max_size=3)
INTEGER = st.integers(-3, 6) | st.integers(-(1 << 63), (1 << 63) - 1) | st.sampled_from([1 << 62, 1 << 63])
FLOAT = st.integers(0, 3).map(float) | st.floats(allow_nan=False, min_value=1e-300)
VALUES: dict[type, st.SearchStrategy[Any]] = {int: INTEGER, float: FLOAT, str: TEXT}
IDS = st.integers(1, 12)


def rows(kind: type[Any]) -> st.SearchStrategy[Any]:
    parts: list[st.SearchStrategy[Any]] = []
    for position, column in enumerate(columns(kind)[:-1]):
        values = VALUES[column.type]
        if position < ROWS[kind].key:
            values = IDS if column.type is int else TEXT
        parts.append(st.none() | values if column.nullable else values)
    return st.tuples(*parts).map(lambda values: seal(kind(*values)))


def key(kind: type[Any], row: Any) -> Any:
    width = ROWS[kind].key
    return row[0] if width == 1 else tuple(row[:width])


@st.composite
def commits(draw: st.DrawFn) -> Commit:
    made = Commit()
    made.inserts = draw(st.lists(rows(MessageRow), max_size=4, unique_by=lambda row: row.id))
    for kind in draw(st.lists(st.sampled_from(list(ROWS)), max_size=3, unique=True)):
        some = draw(st.lists(rows(kind), max_size=4, unique_by=lambda row, kind=kind: key(kind, row)))
        for row in some:
            if draw(st.booleans()) and not (kind is MessageRow and row.id in {new.id for new in made.inserts}):
                made.put(row)
            else:
                made.delete(kind, key(kind, row))
    return made


async def content(store: Any) -> dict[str, list[Row]]:
    return {table.name: [verify(row) for row in await store.scan(kind)] for kind, table in ROWS.items()}


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(commits(), max_size=6))
async def test_equal_content_after_any_commits(changes: list[Commit]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        memory, sqlite = MemoryStore(), SqliteStore(f"sqlite:///{folder}/bank.db", Runtime())
        sqlite.synchronous_level = "OFF"
        await memory.open()
        await sqlite.open()
        try:
            for number, commit in enumerate(changes, 1):
                commit.number = number
                outcomes: list[object] = []
                for store in (memory, sqlite):
                    try:
                        store.commit_now(commit)
                    except StoreError as error:
                        outcomes.append(type(error))
                    else:
                        outcomes.append(None)
                assert outcomes[0] == outcomes[1]
            assert await content(memory) == await content(sqlite)
            assert await memory.last_id() == await sqlite.last_id()
            mine, theirs = await memory.owner(), await sqlite.owner()
            assert mine is not None
            assert theirs is not None
            assert mine.commit_no == theirs.commit_no
            for kind in ROWS:
                backwards = await memory.scan(kind, descending=True, limit=3)
                assert backwards == await sqlite.scan(kind, descending=True, limit=3)
        finally:
            await memory.close()
            await sqlite.close()
