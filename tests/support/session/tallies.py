"""The work of the runs that try to break a promise, summed up at the end of the test run.

A test says `tally("kills", 40)`; lost and doubled messages are asserted to be none where they are counted, and tallied
as well, so that the summary says what was looked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

__all__ = ("Tally", "show", "tally")

Tally = Callable[[str, int], None]

MARK = "tally:"


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Tally:
    """Count something for the summary of the run. Travels with the test's report, so it works on several cores."""

    def count(what: str, number: int) -> None:
        record_property(MARK + what, number)

    return count


def show(terminal: pytest.TerminalReporter) -> None:
    """The summary: each thing counted, and over how many tests."""
    sums: Counter[str] = Counter()
    tests: Counter[str] = Counter()
    for reports in terminal.stats.values():
        for report in reports:
            if getattr(report, "when", None) != "call":
                continue
            counted = [(name, number) for name, number in report.user_properties if name.startswith(MARK)]
            _add(sums, tests, counted)
    if not sums:
        return
    terminal.section("tried to break it")
    for what in sorted(sums):
        terminal.write_line(f"{what:<40} {sums[what]:>12,}   in {tests[what]:,} tests")


def _add(sums: Counter[str], tests: Counter[str], counted: list[tuple[str, Any]]) -> None:
    for name, number in counted:
        sums[name.removeprefix(MARK)] += number
    for name in {name for name, _ in counted}:
        tests[name.removeprefix(MARK)] += 1
