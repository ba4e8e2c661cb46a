"""Where the data of a node live during a test, so that several lives of the node can follow each other on them."""

from __future__ import annotations

import abc
import shutil
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import shaker

from greenroom import ActorSystem, ChildSpec, SupervisorSpec, start
from greenroom.persistence.engines.memory.data import MemoryData
from greenroom.persistence.runtime import Runtime
from greenroom.persistence.store.checksums import seal
from greenroom.persistence.store.rows import ROWS
from greenroom.testing import Faults, FaultyMemoryStore, FaultySqliteStore


class Ground(abc.ABC):
    def __init__(self) -> None:
        self.plan = Faults()
        """The faults of every store made here."""
        self.systems: list[ActorSystem] = []
        """Of the nodes that were started here."""

    @abc.abstractmethod
    def store(self, runtime: Runtime | None = None) -> Any:
        """A store on these data, not yet open."""

    @abc.abstractmethod
    def rows(self, kind: type[Any]) -> list[Any]:
        """The committed rows of a kind in key order, read past the node."""

    @abc.abstractmethod
    def image(self) -> Ground:
        """The data as kill -9 at this moment would leave them. No commit may be under way."""

    @abc.abstractmethod
    def edit(self, kind: type[Any], key: Any, *, sealed: bool = False, **changes: Any) -> None:
        """Change a stored row by hand, past the node; `sealed` with a checksum that fits."""

    @asynccontextmanager
    async def node(
        self, tree: SupervisorSpec, *, runtime: Runtime | None = None, **options: Any
    ) -> AsyncIterator[ActorSystem]:
        async with start(tree, store=self.store(runtime), runtime=runtime, **options) as system:
            self.systems.append(system)
            if runtime is None:
                await shaker.late()
            try:
                yield system
            finally:
                self.plan.release()  # a test that failed before it got there would wait for its end for ever


class MemoryGround(Ground):
    def __init__(self, data: MemoryData | None = None) -> None:
        super().__init__()
        self.data = data or MemoryData()

    def store(self, runtime: Runtime | None = None) -> Any:
        return FaultyMemoryStore(runtime, data=self.data, plan=self.plan)

    def rows(self, kind: type[Any]) -> list[Any]:
        table = self.data.tables[kind]
        return [table[key] for key in sorted(table)]

    def image(self) -> Ground:
        return MemoryGround(self.data.copy())

    def edit(self, kind: type[Any], key: Any, *, sealed: bool = False, **changes: Any) -> None:
        row = self.data.tables[kind][key]._replace(**changes)
        self.data.tables[kind][key] = seal(row) if sealed else row


class SqliteGround(Ground):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.path = folder / "node.db"
        self.url = f"sqlite:///{self.path}"
        self._images = 0

    def store(self, runtime: Runtime | None = None) -> Any:
        return FaultySqliteStore(self.url, runtime, plan=self.plan)

    def rows(self, kind: type[Any]) -> list[Any]:
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("PRAGMA wal_autocheckpoint=0")
            found = connection.execute(f'SELECT * FROM "{ROWS[kind].name}"').fetchall()
        return sorted(kind._make(values) for values in found)

    def image(self) -> Ground:
        self._images += 1
        folder = self.folder.with_name(f"{self.folder.name}-{self._images}")
        folder.mkdir()
        for name in ("node.db", "node.db-wal", "node.db.slots", "node.db.hang"):
            if (self.folder / name).exists():
                shutil.copy(self.folder / name, folder / name)
        return SqliteGround(folder)

    def edit(self, kind: type[Any], key: Any, *, sealed: bool = False, **changes: Any) -> None:
        keys = key if isinstance(key, tuple) else (key,)
        if sealed:
            (row,) = [row for row in self.rows(kind) if tuple(row[: len(keys)]) == keys]
            changes["crc"] = seal(row._replace(**changes)).crc
        where = " AND ".join(f'"{column}"=?' for column in kind._fields[: len(keys)])
        what = ", ".join(f'"{column}"=?' for column in changes)
        with closing(sqlite3.connect(self.path)) as connection, connection:
            done = connection.execute(
                f'UPDATE "{ROWS[kind].name}" SET {what} WHERE {where}', (*changes.values(), *keys)
            )
            assert done.rowcount == 1, f"no {kind.__name__} {key}"


def tree(*children: Any, id: str = "t", **flags: Any) -> SupervisorSpec:
    """A root supervisor over actor classes, specs, or (id, class) pairs."""
    return SupervisorSpec(id=id, children=[as_spec(child) for child in children], **flags)


def as_spec(child: Any, **options: Any) -> Any:
    if isinstance(child, ChildSpec | SupervisorSpec):
        return child
    if isinstance(child, Sequence):
        return ChildSpec(id=child[0], actor=child[1], **options)
    return ChildSpec(id=child.__name__.lower(), actor=child, **options)


def pool(template: Any, id: str = "pool", **flags: Any) -> SupervisorSpec:
    """A dynamic supervisor with a template."""
    return SupervisorSpec(
        id=id,
        strategy="dynamic",
        template=template if isinstance(template, ChildSpec) else as_spec(("template", template)),
        **flags,
    )
