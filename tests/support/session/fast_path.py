"""`pytest --no-fast-path`: the same tests with each turn run by the executor alone.

The fast path says the same as the executor in fewer steps (actors/execution/fast_path.py). A run without it fails where
the two have come to differ.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from greenroom.actors.execution import dispatcher
from greenroom.actors.execution.executor import Executor
from greenroom.actors.kernel.cell import Cell

__all__ = ("add_option", "without_fast_path")


def add_option(parser: pytest.Parser) -> None:
    parser.addoption("--no-fast-path", action="store_true", help="run every turn by the executor")


@pytest.fixture(scope="session", autouse=True)
def without_fast_path(request: pytest.FixtureRequest) -> Iterator[None]:
    if not request.config.getoption("--no-fast-path"):
        yield
        return

    def none_light(executor: Executor, cell: Cell, limit: int) -> int:
        return 0

    def none_durable(executor: Executor, cell: Cell, slot: int, limit: int) -> int:
        return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dispatcher, "run_light", none_light)
        patch.setattr(dispatcher, "run_durable", none_durable)
        yield
