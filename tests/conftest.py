from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """understudy is written for asyncio."""
    return "asyncio"
