from __future__ import annotations

from collections.abc import Iterator

import pytest
from otp_worker import Cues, Worker


@pytest.fixture(autouse=True)
def cues() -> Iterator[Cues]:
    """What the workers of this test are told, and what they did."""
    Worker.cues = Cues()
    yield Worker.cues
    Worker.cues.gate.set()
