from __future__ import annotations

from collections.abc import Iterator

import pytest
from otp_worker import Cues, Worker


@pytest.fixture(autouse=True)
def cues() -> Iterator[Cues]:
    """The cues of this test: orders to its workers, and their deeds."""
    Worker.cues = Cues()
    yield Worker.cues
    Worker.cues.gate.set()
