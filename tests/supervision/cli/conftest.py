from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.close()


@pytest.fixture
def stopped(place: Place) -> Place:
    """A place where a node has run and stopped."""
    place.prepare()
    return place


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A place where a node runs, for all tests of a module."""
    place = Place(tmp_path_factory.mktemp("running"))
    node = place.up()
    yield place
    node.stop()
    place.close()
