"""The marks by which `make quick` leaves tests out: `process` for those that start processes, `slow` for long sweeps.

All tests of some folders and files are marked here, so that nobody has to think of it; elsewhere a test is marked where
it is defined. A test without the mark `process` that starts a process fails at that point.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

__all__ = ("PROCESS", "SLOW", "guarding", "mark", "watch")

TESTS = Path(__file__).parents[2]
PROCESS = (
    "actors/execution/test_exit_after_cut.py",
    "benchmarks",
    "conformance/otp",
    "docs/test_examples.py",
    "examples",
    "promises/disks/test_disk_faults.py",
    "promises/disks/test_store_full.py",
    "promises/interrupts",
    "promises/kills",
    "promises/power",
    "supervision/cli",
    "typing",
)
"""Folders and files whose tests start processes, or need one that another test of theirs has started."""
FIXTURES = {"spawn"}
"""A test that has one of these starts processes."""
SLOW = (
    "actors/execution/test_cancelled_everywhere.py",
    "actors/execution/test_lives_cut_short.py",
    "promises/disks/test_bit_rot.py",
    "promises/models/test_model.py",
)
"""Sweeps: most of their tests take over a second."""

_test = ""
"""The test that runs and may not start a process."""


class StartsProcess(AssertionError):
    def __init__(self, test: str) -> None:
        super().__init__(
            f"{test} starts a process and isn't marked for it: `make quick` would run it. "
            "Put @pytest.mark.process on it, or its folder into PROCESS of tests/support/session/marks.py"
        )


def mark(items: list[pytest.Item]) -> None:
    for item in items:
        if _is_in(item, PROCESS) or FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("process")
        if _is_in(item, SLOW):
            item.add_marker("slow")


def _is_in(item: pytest.Item, places: tuple[str, ...]) -> bool:
    return any(item.path.is_relative_to(TESTS / place) for place in places)


def watch() -> None:
    """From now on whatever starts a process is asked whether the test may."""
    subprocess.Popen.__init__ = _guarded(subprocess.Popen.__init__)  # type: ignore[method-assign]
    os.fork = _guarded(os.fork)  # also below `multiprocessing`
    os.posix_spawn = _guarded(os.posix_spawn)


@contextmanager
def guarding(item: pytest.Item) -> Iterator[None]:
    """While this test, with its fixtures, runs."""
    global _test
    marked = item.get_closest_marker("process") or item.get_closest_marker("torture")
    _test = "" if marked else item.nodeid
    try:
        yield
    finally:
        _test = ""


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(*arguments: Any, **options: Any) -> Any:
        if _test:
            raise StartsProcess(_test)
        return function(*arguments, **options)

    return guarded
