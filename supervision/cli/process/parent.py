"""Parent: the small process that starts the node again when it dies. It knows nothing of actors, and imports none.

If another start can't help (a mistake in the config, a locked store, a tree that gave up), the node says so by its exit
status, and the parent ends, too. Any other end, by signal, by watchdog or by itself, is a crash.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import deque
from typing import Any

from loguru import logger

from ....actors.recovery.watchdog import HANG_EXIT
from ....persistence.runtime import Runtime
from ...config.sections import NodeSettings
from ...supervisor.intensity import Intensity
from ..exit_codes import ExitCode, verdict_of
from .log import clock_time
from .signals import Signals

__all__ = ("Parent",)

KILL_GRACE_S = 2.0
"""Seconds beyond its `stop_timeout_s` that a node has to end itself before it is killed."""
DEATHS_SHOWN_MAX = 10


class Parent:
    def __init__(self, command: list[str], settings: NodeSettings, runtime: Runtime | None = None) -> None:
        self._command = command
        self._settings = settings
        self._runtime = runtime or Runtime()
        self._intensity = Intensity(settings.respawn_intensity, settings.respawn_period_s)
        self._deaths: deque[str] = deque(maxlen=DEATHS_SHOWN_MAX)
        self._stops = 0
        """How often the parent was asked to stop."""

    def run(self) -> ExitCode:
        """Run the node until it is done, and start it again after each crash."""
        with Signals() as signals:
            while True:
                began = self._runtime.monotonic()
                how, code = self._live(signals)
                if code is not None:
                    return code
                lived_s = self._runtime.monotonic() - began
                now = clock_time(self._runtime.now())
                self._deaths.append(f"{now}  {how} after {lived_s:.1f} s")
                if self._intensity.exceeded(self._runtime.monotonic()):
                    self._give_up()
                    return ExitCode.GAVE_UP
                logger.warning("the node was {}; it starts again ({})", how, self._left())

    def _live(self, signals: Signals) -> tuple[str, ExitCode | None]:
        """One life of the node: how it died, and the exit code if it isn't to be started again."""
        try:
            # A process group of its own, so that Ctrl-C reaches the parent only, which passes it on once, as an
            # orderly stop.
            group: dict[str, Any] = {"process_group": 0}
            if sys.platform == "win32":
                group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
            # Its stdin is the lifeline: it ends when the parent does, in whatever way.
            process: subprocess.Popen[Any] = subprocess.Popen(self._command, stdin=subprocess.PIPE, **group)
        except OSError as error:
            return f"not started ({error})", None
        try:
            status = self._wait(process, signals)
        finally:
            assert process.stdin is not None
            process.stdin.close()
        code = verdict_of(status)
        if code is None and self._stops:
            # If the first stop killed it, it hadn't begun yet. Any other kill isn't in order.
            code = ExitCode.DONE if status == -signal.SIGTERM else ExitCode.FAILED
            if code:
                logger.error("the node was {} while it stopped", how_it_died(status))
        return how_it_died(status), code

    def _wait(self, process: subprocess.Popen[Any], signals: Signals) -> int:
        deadline: float | None = None
        while (status := process.poll()) is None:
            asked = signals.wait() if deadline is None else signals.wait(deadline - self._runtime.monotonic())
            if asked and not self._stops:
                logger.info("stopping the node (once more to kill it)")
                process.terminate()
                deadline = self._runtime.monotonic() + self._settings.stop_timeout_s + KILL_GRACE_S
                asked -= 1
                self._stops = 1
            if asked or (deadline is not None and self._runtime.monotonic() >= deadline):
                self._stops += 1
                process.kill()
                deadline = None
        return status

    def _left(self) -> str:
        settings = self._settings
        left = settings.respawn_intensity - len(self._intensity.history())
        return f"{left} of {settings.respawn_intensity} respawns left within {settings.respawn_period_s:g} s"

    def _give_up(self) -> None:
        settings = self._settings
        deaths = "\n".join(f"  {death}" for death in self._deaths)
        logger.error(
            "the node died more than {} times within {:g} s (node.respawn_intensity, node.respawn_period_s). "
            "It isn't started again. Its last deaths:\n{}\n"
            "Its unfinished messages are in its store: `greenroom messages list`, `greenroom dead list`.",
            settings.respawn_intensity,
            settings.respawn_period_s,
            deaths,
        )


def how_it_died(status: int) -> str:
    """How it was killed, in words that follow "was"."""
    if status == HANG_EXIT:
        return f"ended by its watchdog (exit {status})"
    if status < 0:
        try:
            return f"killed by {signal.Signals(-status).name}"
        except ValueError:
            return f"killed by signal {-status}"
    return f"ended without a reason (exit {status})"
