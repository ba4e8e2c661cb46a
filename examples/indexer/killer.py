"""Kills the node with SIGKILL at shares of the work done, so that no kill can come too late.

Kill number k of K is due when k/(K+1) of the files are done. While it is awaited, the scanner may hand out only a few
files more than that (`Killer.allowed`, told to it as an `Allow`). So the node can't outrun the killer, however fast the
node is and however late the killer looks.

The killer stops the node with SIGSTOP first. Nothing moves then, so it knows what the kill hits. It spares a node that
has done all that it was allowed, because such a kill would prove nothing. It allows some more files then, and tries
again.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from outside import InFlight, Progress, in_flight, progress, wait_for_state

__all__ = ("Kill", "Killer")

AHEAD = 0.75
"""So far the files go beyond a due kill, as a part of the way to the next kill."""
MORE = 0.05
"""The same for each kill that found nothing to do."""


@dataclass(frozen=True)
class Kill:
    """One SIGKILL, and what it hit."""

    number: int
    boot: int
    commits: int
    """The node's commits in that life."""
    done: int
    files: int
    waiting: int
    """Messages that were in the mailboxes."""
    in_flight: list[InFlight]

    def __str__(self) -> str:
        hit = ", ".join(map(str, self.in_flight[:2])) or "nothing; the node was committing or between two messages"
        more = len(self.in_flight) - 2
        return (
            f"kill {self.number} at {self.done / self.files:.0%} of the work ({self.files - self.done:,} files to go): "
            f"life {self.boot}, after {self.commits} commits; {self.waiting:,} messages waited; "
            f"in flight: {hit}" + (f", and {more} more" if more > 0 else "")
        )


class Killer:
    """Decides when the node dies, kills it, and says how many files the scanner may hand out until then."""

    def __init__(self, database: Path, files: int, kills: int) -> None:
        self.kills: list[Kill] = []
        self._database = database
        self._files = files
        self._wanted = kills
        self._idle = 0
        """How often the node had done all that it was allowed before the next kill came."""
        self._over = False
        """Every file was handed out and done before the last kill. It won't come."""
        self._boot = 0
        self._began = 0
        """The commits before this life."""

    @property
    def allowed(self) -> int:
        """So many files may be handed out before the next kill. In the end there are more than there are files."""
        if self._over or len(self.kills) >= self._wanted:
            return self._files + 1
        part = (len(self.kills) + 1 + AHEAD + self._idle * MORE) / (self._wanted + 1)
        return max(1, min(self._files, round(part * self._files)))

    @property
    def due(self) -> int:
        """The next kill comes when so many files are done."""
        return (len(self.kills) + 1) * self._files // (self._wanted + 1)

    def look(self, now: Progress, connection: sqlite3.Connection) -> Kill | None:
        """Kill the node if it is time."""
        if now.boot != self._boot:
            self._boot, self._began = now.boot, now.commits
        if len(self.kills) >= self._wanted or now.done < self.due or not now.pid:
            return None
        if self.kills and self.kills[-1].boot == now.boot:
            return None  # that one is dead, and the next one isn't there yet
        if now.files_waiting == 0:
            self._over = now.given >= self._files  # there is nothing left to kill it in
            if now.given >= self.allowed:
                self._idle += 1
            return None
        try:
            os.kill(now.pid, signal.SIGSTOP)
            if wait_for_state(now.pid, "T"):
                return self._stopped(now, connection)
        except (ProcessLookupError, sqlite3.Error, OSError):
            pass  # it died by itself, or is just opening its database
        finally:
            with suppress(ProcessLookupError):
                os.kill(now.pid, signal.SIGCONT)
        return None

    def _stopped(self, now: Progress, connection: sqlite3.Connection) -> Kill | None:
        """The node stands still: kill it if it has something to do."""
        pid, now = now.pid, progress(connection)
        running = in_flight(self._database, connection)
        if now.pid != pid or now.files_waiting == 0:
            return None
        if any(message.suspect for message in running):
            return None  # its death might be held against this message, but the killer is to blame
        os.kill(pid, signal.SIGKILL)
        wait_for_state(pid, "Z", "")
        kill = Kill(
            len(self.kills) + 1, now.boot, now.commits - self._began, now.done, self._files, now.waiting, running
        )
        self.kills.append(kill)
        self._idle = 0
        return kill
