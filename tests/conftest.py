from __future__ import annotations

import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any

import fast_path
import loops
import marks
import pytest
import shaker
import tallies
from fast_path import without_fast_path
from grounds import Ground, MemoryGround, SqliteGround
from shaker import shake
from tallies import tally

from greenroom.testing import VirtualRuntime

__all__ = ("shake", "tally", "without_fast_path")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background by a shell, which has SIGINT ignored: the processes of the tests would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """greenroom is written for asyncio."""
    return loops.backend(request.config)


@pytest.fixture
def own_loop(request: pytest.FixtureRequest) -> None:
    """For tests of what the virtual clock sees of asyncio's own loop alone (docs/testing.md)."""
    if request.config.getoption("--uvloop"):
        pytest.skip("uvloop doesn't tell what its loop waits for")


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
    fast_path.add_option(parser)
    loops.add_option(parser)


def pytest_configure() -> None:
    marks.watch()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marks.mark(items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with marks.guarding(item):
        return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    tallies.show(terminalreporter)
