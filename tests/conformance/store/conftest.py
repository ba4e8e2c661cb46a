"""The engines that the suite runs on. A new engine is one more `Place`."""

from __future__ import annotations

import abc
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from greenroom.persistence.engines.memory.data import MemoryData
from greenroom.persistence.engines.memory.engine import MemoryStore
from greenroom.persistence.engines.sqlite.engine import SqliteStore
from greenroom.persistence.runtime import Runtime
from greenroom.persistence.store.contract import Store


class Place(abc.ABC):
    """Where stores live that see the same data."""

    def __init__(self) -> None:
        self.made: list[Store] = []

    def store(self) -> Any:
        store = self.make()
        self.made.append(store)
        return store

    async def opened(self) -> Any:
        store = self.store()
        await store.open()
        return store

    async def reading(self) -> Any:
        store = self.store()
        await store.open_reader()
        return store

    @abc.abstractmethod
    def make(self) -> Store: ...

    @abc.abstractmethod
    def usurp(self) -> None:
        """Raise the epoch behind the owner's back."""

    @abc.abstractmethod
    def damage(self, table: str, column: str, value: Any) -> None:
        """Change a column of every row of a table, past the checksum."""

    @abc.abstractmethod
    def after_crash(self) -> Place:
        """The data as they are when the machine stops now."""


class MemoryPlace(Place):
    def __init__(self, data: MemoryData | None = None) -> None:
        super().__init__()
        self.data = data or MemoryData()

    def make(self) -> Store:
        return MemoryStore(data=self.data)

    def usurp(self) -> None:
        owner = self.data.owner
        assert owner is not None
        self.data.owner = owner._replace(epoch=owner.epoch + 1)

    def damage(self, table: str, column: str, value: Any) -> None:
        from greenroom.persistence.store.rows import ROWS

        for kind, rows in self.data.tables.items():
            if ROWS[kind].name == table:
                rows.update({key: row._replace(**{column: value}) for key, row in rows.items()})

    def after_crash(self) -> Place:
        return MemoryPlace(self.data.copy())


class SqlitePlace(Place):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    @property
    def path(self) -> Path:
        return self.folder / "bank.db"

    def make(self) -> Store:
        return SqliteStore(f"sqlite:///{self.path}", Runtime())

    def _execute(self, sql: str, *parameters: Any) -> None:
        connection = sqlite3.connect(self.path, isolation_level=None)
        try:
            connection.execute(sql, parameters)
        finally:
            connection.close()

    def usurp(self) -> None:
        self._execute("UPDATE greenroom_owner SET epoch = epoch + 1")

    def damage(self, table: str, column: str, value: Any) -> None:
        self._execute(f'UPDATE "{table}" SET "{column}" = ?', value)

    def after_crash(self) -> Place:
        folder = self.folder / "after"
        folder.mkdir()
        for file in self.folder.glob("bank.db*"):
            if not file.name.endswith("-shm"):
                shutil.copy(file, folder)
        return SqlitePlace(folder)


@pytest.fixture(params=["memory", "sqlite"])
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    place = MemoryPlace() if request.param == "memory" else SqlitePlace(tmp_path)
    yield place
    for store in reversed(place.made):
        await store.close()
