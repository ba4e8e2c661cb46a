from __future__ import annotations

import signal
from pathlib import Path

import pytest
import shaker
import tallies
from grounds import Ground, MemoryGround, SqliteGround
from shaker import shake
from tallies import tally

from greenroom.testing import VirtualRuntime

__all__ = ("shake", "tally")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background by a shell, which has SIGINT ignored: the processes of the tests would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """greenroom is written for asyncio."""
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


def pytest_addoption(parser: pytest.Parser) -> None:
    shaker.add_option(parser)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    tallies.show(terminalreporter)
