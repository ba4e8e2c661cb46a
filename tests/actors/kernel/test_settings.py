"""The settings of a node: a wrong value is named, with what to write instead."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pytest

from greenroom import Settings

SECONDS = ("key_retention_s", "transaction_timeout_s", "inbox_poll_s", "dead_letters_kept_s", "housekeeping_s")


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("value", [0, -1.0, math.nan, True, "5", None, dt.timedelta(1)])
def test_seconds(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"Settings\({name}=.*write a number of seconds above 0"):
        Settings(**{name: value})


@pytest.mark.parametrize("name", ["incidents_kept", "dead_letters_kept"])
@pytest.mark.parametrize("value", [0, -1, 1.5, math.inf, True, "5", None])
def test_counts(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"Settings\({name}=.*write a whole number of at least 1"):
        Settings(**{name: value})


def test_aliases() -> None:
    aliases: Any = {"bank:Konto": "bank:Account"}
    with pytest.raises(ValueError, match=r"Settings\(aliases=.*write Aliases\(actors="):
        Settings(aliases=aliases)


def test_for_ever() -> None:
    for name in SECONDS:
        assert getattr(Settings(**{name: math.inf}), name) == math.inf
