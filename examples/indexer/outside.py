"""Looks at a node from outside: its rows with plain sqlite3, its slot file, its process."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from greenroom.persistence.engines.sqlite.sidecars.slot_file import peek

__all__ = ("InFlight", "Progress", "connect", "in_flight", "progress", "wait_for_state")

BUSY_S = 0.2
"""A node that is stopped while it opens its database keeps it locked, so we don't wait for long."""


def connect(database: Path) -> sqlite3.Connection:
    """Read-only, and it never checkpoints: fit to look on beside a running node."""
    uri = f"file:{quote(str(database))}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_S)
    connection.execute("PRAGMA query_only=1")
    connection.execute("PRAGMA wal_autocheckpoint=0")
    return connection


@dataclass(frozen=True)
class Progress:
    """How far the node is: only what is committed counts."""

    pid: int = 0
    boot: int = 0
    """The number of the node's life."""
    commits: int = 0
    indexed: int = 0
    dead: int = 0
    """Dead letters."""
    files_waiting: int = 0
    """Messages that wait for a parser or for the index: work that nothing holds back."""
    given: int = 0
    """Files that the scanner has handed out."""
    waiting: int = 0
    """All messages in mailboxes and in the inbox."""

    @property
    def done(self) -> int:
        return self.indexed + self.dead


def progress(connection: sqlite3.Connection) -> Progress:
    """
    Raises:
        sqlite3.Error: there are no tables yet, or a node is just opening or closing the database.
    """
    row = connection.execute(
        "SELECT pid, epoch, commit_no, (SELECT count(*) FROM indexed_file),"
        " (SELECT count(*) FROM greenroom_dead_letter),"
        " (SELECT count(*) FROM greenroom_message WHERE type IN ('Parse', 'Parsed')),"
        " coalesce((SELECT state ->> 'given' FROM greenroom_actor WHERE address = '/indexer/scanner'), 0),"
        " (SELECT count(*) FROM greenroom_message) + (SELECT count(*) FROM greenroom_inbox) FROM greenroom_owner"
    ).fetchone()
    return Progress(*row) if row else Progress()


@dataclass(frozen=True)
class InFlight:
    """A message whose handling has begun and not ended."""

    address: str
    uid: str
    suspect: bool
    """The last life ended while it was handled, too."""
    what: str
    """Its type and its file; "" if the turn that sent it isn't committed yet."""

    def __str__(self) -> str:
        return f"{self.what or 'a message whose sender is not committed yet'} at {self.address}"


def in_flight(database: Path, connection: sqlite3.Connection) -> list[InFlight]:
    """The messages that the node is handling (or was, when it died)."""
    taken, listed = peek(f"{database}.slots")
    suspects = {suspect.uid for suspect in listed}
    found = []
    for started in taken:
        row = connection.execute("SELECT type, body FROM greenroom_message WHERE uid = ?", (started.uid,)).fetchone()
        what = "" if row is None else f"{row[0]} of {Path(json.loads(row[1]).get('path', '?')).name}"
        found.append(InFlight(started.address, started.uid, started.uid in suspects, what))
    return found


def wait_for_state(pid: int, *states: str) -> bool:
    """Wait until the process is in one of these states: "T" is stopped, "Z" dead, "" gone. False if it is gone instead.

    A process that was sent SIGSTOP or SIGKILL gets there in a moment, but not at once.
    """
    while (state := _state_of(pid)) not in states:
        if state in ("", "Z"):
            return False
        time.sleep(0.001)
    return True


def _state_of(pid: int) -> str:
    """The letter that `ps` shows."""
    try:
        if os.path.isdir("/proc/self"):
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0].upper()
        shown = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return shown.stdout.strip()[:1].upper()
    except (FileNotFoundError, ProcessLookupError):
        return ""
