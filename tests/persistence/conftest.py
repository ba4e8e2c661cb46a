from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from processes import program
from sqlite_stores import Make, Spawn

from greenroom.persistence.engines.sqlite.engine import SqliteStore
from greenroom.persistence.runtime import Runtime


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Start `node_process.py` doing something to a path."""
    children: list[subprocess.Popen[str]] = []

    def spawn(what: str, path: Path) -> subprocess.Popen[str]:
        script = program("node_process.py")
        child = subprocess.Popen([sys.executable, script, what, str(path)], stdout=subprocess.PIPE, text=True)
        children.append(child)
        return child

    yield spawn
    for child in children:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[SqliteStore] = []

    def make(path: Path | None = None) -> SqliteStore:
        made.append(SqliteStore(f"sqlite:///{path or tmp_path / 'bank.db'}", Runtime()))
        return made[-1]

    yield make
    for store in made:
        await store.close()
