"""Child: the process of the node, `python -m greenroom.supervision.cli.process.child ORDERS`. `Parent` starts it."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from loguru import logger

from ....actors.extensions.timers.errors import ExtraMissing
from ....actors.kernel.errors import StartFailed
from ....actors.system import ActorSystem
from ....persistence.errors import GreenroomError
from ....persistence.events import Event
from ...config.load import Config, load_config
from ...node.log import log_event
from ...node.start import start
from ..exit_codes import ExitCode, code_of, status_of
from .crash_report import CrashReport
from .lifeline import Deadline, Lifeline
from .log import set_up_log
from .orders import Orders
from .progress import Progress

__all__ = ("Node",)

CRASHED = 1
"""Exit status of a node that failed in a way which another start may cure."""


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Makes the event loop of this name; None for asyncio's own.

    Raises:
        ExtraMissing: uvloop isn't installed.
    """
    if name == "asyncio":
        return None
    try:
        import uvloop
    except ImportError as error:
        raise ExtraMissing("uvloop", 'node.loop = "uvloop"', "uvloop") from error
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


class Node:
    """One life of a node: from the config to an exit status."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._deadline = Deadline()
        self._report = CrashReport()
        self._progress = Progress(orders.verbosity)
        self._config: Config | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[ExitCode | None] | None = None
        self._asked = asyncio.Event()
        self._up = False
        self._orphan = False

    def run(self) -> int:
        """Returns the exit status."""
        Lifeline(self._orphaned)
        try:
            self._config = load_config(self._orders.tree, overrides=self._orders.overrides)
            factory = _loop_factory(self._config.node.loop)
            gc.collect()
            gc.freeze()  # what is loaded by now stays, so no later collection needs to look at it
            with asyncio.Runner(loop_factory=factory) as runner:
                try:
                    code = runner.run(self._live(self._config))
                except SystemExit as error:
                    self._die(error)
        except asyncio.CancelledError:  # asked to stop before it was up
            return status_of(ExitCode.DONE)
        except StartFailed as error:
            logger.error("{}\n{}", error, error.reason.traceback.rstrip())
            return status_of(ExitCode.FAILED)
        except GreenroomError as error:
            logger.error("{}", error)
            return status_of(code_of(error))
        return CRASHED if code is None else status_of(code)

    def _die(self, error: SystemExit) -> NoReturn:
        """End the process at once, as a crash would. A callback of the event loop has raised `SystemExit`, so nobody
        knows whose it was. The messages that were at work are suspects of the next life."""
        logger.opt(exception=error).critical(
            "SystemExit({!r}) in a callback of the event loop (call_later, add_done_callback, a signal handler) has "
            "ended the node. Raise errors in handlers and tasks instead",
            error.code,
        )
        logger.complete()
        sys.stderr.flush()
        os._exit(CRASHED)

    async def _live(self, config: Config) -> ExitCode | None:
        loop = self._loop = asyncio.get_running_loop()
        self._main = asyncio.current_task()
        if self._orphan:
            return ExitCode.DONE
        for number in (signal.SIGTERM, signal.SIGINT):
            with suppress(NotImplementedError):  # Windows
                loop.add_signal_handler(number, self._stop)
        async with start(
            config.tree,
            store=config.store.url,
            hang_s=config.node.hang_s,
            settings=config.node.system(config.aliases),
            on_event=self._note,
        ) as system:
            self._up = True
            await self._until_end(system)
            self._deadline.set(config.node.stop_timeout_s)
        self._deadline.set(config.node.stop_timeout_s)
        if system.kernel.gave_up is None:
            return ExitCode.DONE
        return self._say_why(system.kernel.gave_up)

    def _say_why(self, error: GreenroomError) -> ExitCode | None:
        """The exit code of a node that has ended by itself; None if the parent may start it again."""
        code = code_of(error)
        logger.error("{}", self._report.text(error))
        if code is ExitCode.FAILED and not isinstance(error, StartFailed):
            return None
        return code

    async def _until_end(self, system: ActorSystem) -> None:
        """Wait for a request to stop, or the end of the tree, or (with `until_idle`) until nothing is left to do."""
        self._progress.begin(system)
        waiting: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(self._asked.wait()),
            asyncio.ensure_future(system.ended.wait()),
        ]
        shown: asyncio.Task[None] | None = None
        if self._orders.until_idle:
            waiting.append(asyncio.ensure_future(self._idle(system)))
            if self._orders.verbosity != "quiet":
                shown = asyncio.create_task(self._progress.show(system))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            tasks = [*waiting, *([shown] if shown is not None else ())]
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        if shown is not None and not shown.cancelled() and (error := shown.exception()) is not None:
            logger.warning("the progress can't be shown: {!r}", error)

    async def _idle(self, system: ActorSystem) -> None:
        try:
            await system.idle()
        except GreenroomError:
            return  # the tree gave up: `ended` is set
        logger.info("idle: {}", self._progress.line(system, whole=True))
        if self._progress.parked:
            logger.warning("{} messages became dead letters: `greenroom dead list` shows them", self._progress.parked)

    def _note(self, event: Event) -> None:
        log_event(event)
        self._report.note(event)
        self._progress.note(event)

    # -- being asked to stop -------------------------------------------------------------------------

    def _stop(self) -> None:
        """A signal asks for a stop. This is called on the loop."""
        config = self._config
        assert config is not None
        self._deadline.set(config.node.stop_timeout_s)
        self._asked.set()
        if not self._up and self._main is not None:
            self._main.cancel()  # nothing has been promised yet

    def _orphaned(self) -> None:
        """The parent is gone, in whatever way. This is called in the lifeline's thread."""
        self._deadline.set(30.0 if self._config is None else self._config.node.stop_timeout_s)
        logger.error("the parent process is gone: the node stops")
        self._orphan = True
        if self._loop is not None:
            with suppress(RuntimeError):  # closed
                self._loop.call_soon_threadsafe(self._stop)


def main() -> int:
    orders = Orders.read(sys.argv[1])
    set_up_log(orders.verbosity)
    return Node(orders).run()


if __name__ == "__main__":
    sys.exit(main())
