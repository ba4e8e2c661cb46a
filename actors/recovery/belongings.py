"""Belongings: the rows that belong to an address, and are deleted when it is retired."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...persistence.store.rows import ActorRow, AttemptRow, MessageRow, Row, TimerRow

__all__ = ("rows_of",)


def rows_of(address: str, messages: Iterable[int], timers: Iterable[str]) -> list[tuple[type[Row], Any]]:
    """Kind and key of each row: its state, its mail with the attempts, its timers.

    Monitors and links have two ends, so they aren't among them (extensions/monitors).

    Args:
        messages: the ids of all messages that wait for it.
        timers: the names of its timers that have rows.
    """
    rows: list[tuple[type[Row], Any]] = [(ActorRow, address)]
    for message in messages:
        rows += [(MessageRow, message), (AttemptRow, message)]
    rows += [(TimerRow, (address, name)) for name in timers]
    return rows
