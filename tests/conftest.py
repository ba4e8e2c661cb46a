from __future__ import annotations

from pathlib import Path

import pytest
from grounds import Ground, MemoryGround, SqliteGround

from understudy.actors.testing import VirtualRuntime


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """understudy is written for asyncio."""
    return "asyncio"


@pytest.fixture(params=["memory", "sqlite"])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Ground:
    """Data for a node, on each kind of store."""
    return MemoryGround() if request.param == "memory" else SqliteGround(tmp_path / "data")


@pytest.fixture
def memory() -> MemoryGround:
    return MemoryGround()


@pytest.fixture
def disk(tmp_path: Path) -> SqliteGround:
    return SqliteGround(tmp_path / "data")


@pytest.fixture
def clock() -> VirtualRuntime:
    """A clock that only the test moves. For nodes in memory."""
    return VirtualRuntime()
