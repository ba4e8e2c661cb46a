"""`pytest --shake SEED`: the same tests on a machine that stalls, to find those that rely on who is first.

Each commit to a file takes up to 20 ms longer at random, and the block of a node begins a moment after what it starts
with has happened. A test that fails then has a race of its own, or has found one.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from greenroom.persistence.engines.sqlite.engine import SqliteStore

__all__ = ("add_option", "late", "shake")

COMMIT_S_MAX = 0.02
BLOCK_S = 0.05

shaken = False


def add_option(parser: pytest.Parser) -> None:
    parser.addoption("--shake", type=int, metavar="SEED", help="stall commits at random, to find tests with races")


@pytest.fixture(scope="session", autouse=True)
def shake(request: pytest.FixtureRequest) -> Iterator[None]:
    global shaken
    seed = request.config.getoption("--shake")
    if seed is None:
        yield
        return
    draw, write = random.Random(seed), SqliteStore._write

    def stall(store: SqliteStore, commit: Any) -> None:
        if draw.random() < 0.5:
            time.sleep(draw.uniform(0.0, COMMIT_S_MAX))
        write(store, commit)

    shaken = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqliteStore, "_write", stall)
        yield


async def late() -> None:
    """Where the block of a node begins."""
    if shaken:
        await asyncio.sleep(BLOCK_S)
