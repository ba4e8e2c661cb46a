"""Progress: how far a node is from being idle. It is a live line in a terminal, else a line every few seconds."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from loguru import logger
from rich.console import Console
from rich.live import Live
from rich.text import Text

from ....actors.execution.dispatcher import Dispatcher
from ....persistence.events import Event
from .log import set_up_log
from .orders import Verbosity

if TYPE_CHECKING:
    from ....actors.system import ActorSystem

__all__ = ("Progress",)

LIVE_S = 0.25
PLAIN_S = 5.0


class Progress:
    def __init__(self, verbosity: Verbosity) -> None:
        self._verbosity: Verbosity = verbosity
        self.failed = 0
        """How many attempts have failed since the start."""
        self.parked = 0
        """How many messages have become dead letters since the start."""
        self._began = self._last = (0.0, 0)

    def note(self, event: Event) -> None:
        """A subscriber of events."""
        if event.name == "message.failed":
            self.failed += 1
        elif event.name == "message.parked":
            self.parked += 1
            self.failed += bool(event.measures.get("attempts"))

    def begin(self, system: ActorSystem) -> None:
        """The tree is up."""
        self._began = self._last = (system.kernel.runtime.monotonic(), system.kernel.part(Dispatcher).executor.turns)

    async def show(self, system: ActorSystem) -> None:
        """Show the progress until cancelled."""
        runtime = system.kernel.runtime
        if not sys.stderr.isatty():
            while True:
                await runtime.sleep(PLAIN_S)
                logger.info(self.line(system))
        console = Console(stderr=True)
        # Log lines go above the live one.
        set_up_log(self._verbosity, lambda line: console.print(Text(line.rstrip("\n")), soft_wrap=True))
        try:
            with Live(console=console, auto_refresh=False, transient=True) as live:
                while True:
                    live.update(Text(self.line(system), no_wrap=True, overflow="ellipsis"), refresh=True)
                    await runtime.sleep(LIVE_S)
        finally:
            set_up_log(self._verbosity)

    def line(self, system: ActorSystem, *, whole: bool = False) -> str:
        """The present numbers in one line. The rate is that since the last line, or over the whole time."""
        pending = sum(cell.mailbox.count for cell in system.kernel.cells.values())
        before, count = self._began if whole else self._last
        now, turns = system.kernel.runtime.monotonic(), system.kernel.part(Dispatcher).executor.turns
        rate = (turns - count) / (now - before) if now > before else 0.0
        self._last = (now, turns)
        retrying = system.kernel.delayed.retries
        return (
            f"{turns:,} turns, {self.failed:,} failed, {pending:,} pending, {retrying:,} retrying, "
            f"{self.parked:,} dead letters, {system.kernel.committer.commits:,} commits, {rate:,.0f} turns/s"
        )
