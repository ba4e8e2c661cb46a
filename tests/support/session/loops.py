"""`pytest --uvloop`: the same async tests on the event loop of uvloop."""

from __future__ import annotations

from typing import Any

import pytest

__all__ = ("add_option", "backend")


def add_option(parser: pytest.Parser) -> None:
    parser.addoption("--uvloop", action="store_true", help="run async tests on uvloop")


def backend(config: pytest.Config) -> Any:
    """The value of anyio's fixture `anyio_backend`."""
    return ("asyncio", {"use_uvloop": True}) if config.getoption("--uvloop") else "asyncio"
