"""The ground that the tests of configs share: a folder with a module of actors, and with sys.path as it was."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

BANK = """\
import datetime
import enum
from pathlib import Path

from greenroom.actors.actor import Actor


class Currency(enum.Enum):
    EUR = "EUR"
    USD = "USD"


class Insufficient(Exception):
    pass


class Ledger(Actor[None]):
    def __init__(self, *, currency: Currency = Currency.EUR, since: datetime.date | None = None) -> None:
        self.currency = currency


class Account(Actor[None]):
    retry_on = (OSError,)
    reject_on = (ValueError,)


class Archive(Actor[None]):
    def __init__(self, folder: Path, sizes: list[int] = []) -> None:
        self.folder = folder


class NoActor:
    pass


def ledger() -> None:
    pass
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory of a test: it holds `bank.py`, and what it imports is forgotten afterwards."""
    before = set(sys.modules)
    path = list(sys.path)
    (tmp_path / "bank.py").write_text(BANK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]
