"""Bars: how far a long command is. They are on stderr, and only if that is a terminal."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from ....persistence.maintenance import progress

__all__ = ("bar", "stoppable")


@contextmanager
def bar(*labels: str) -> Iterator[list[progress.Progress]]:
    """One bar for each step of the work, shown as it begins; gone when all of it is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    shown = Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    with shown:
        yield [_step(shown, label) for label in labels]


def _step(shown: Progress, label: str) -> progress.Progress:
    task = shown.add_task(label, total=None, visible=False)

    def update(done: int, total: int) -> None:
        shown.update(task, completed=done, total=total or None, visible=True)

    return update


@contextmanager
def stoppable() -> Iterator[None]:
    """Within its block SIGTERM acts as Ctrl-C: the command removes unfinished files before it ends."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGTERM"):
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
