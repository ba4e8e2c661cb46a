"""CrashReport: the last exits of a tree that gave up, each with its traceback."""

from __future__ import annotations

from collections import deque

from ....persistence.errors import GreenroomError
from ....persistence.events import Event
from .log import clock_time

__all__ = ("CrashReport",)

EXITS_MAX = 10
TRACEBACK_LINES_MAX = 30


class CrashReport:
    """A subscriber of events that remembers the last exits and failed starts."""

    def __init__(self) -> None:
        self._exits: deque[Event] = deque(maxlen=EXITS_MAX)

    def note(self, event: Event) -> None:
        if event.name in ("actor.exited", "actor.start_failed") and event.measures.get("error"):
            self._exits.append(event)

    def text(self, error: GreenroomError) -> str:
        """The whole report. A traceback that it has already isn't repeated."""
        lines = ["", f"{type(error).__name__}: {error}"]
        if self._exits:
            lines += ["", "The last exits:"]
        seen: set[str] = set()
        for event in self._exits:
            measures = event.measures
            traceback = str(measures.get("traceback", ""))
            what = "exited" if event.name == "actor.exited" else "didn't start"
            reason = ": ".join(part for part in (measures["error"], measures["text"]) if part)
            lines += ["", f"  {clock_time(event.at)}  {event.address} {what}: {reason}"]
            if traceback in seen:
                lines.append("    (the same traceback as above)")
            elif traceback:
                seen.add(traceback)
                lines += [f"    {line}" for line in _shortened(traceback.splitlines())]
        return "\n".join(lines)


def _shortened(lines: list[str]) -> list[str]:
    if len(lines) <= TRACEBACK_LINES_MAX:
        return lines
    half = TRACEBACK_LINES_MAX // 2
    return [*lines[:half], f"… {len(lines) - 2 * half} lines …", *lines[-half:]]
