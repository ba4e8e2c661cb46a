"""AttemptLog: a store's note of the messages that are being handled, which outlives the process.

It has two parts: a slot for each runner of the node, in which it notes the message that it handles; and the list of
suspects, which a boot makes of the notes that the last life left (docs/semantics/recovery.md).
"""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

__all__ = ("NOBODY", "SLOTS", "AttemptLog", "Started", "Verdict", "is_uid")

SLOTS: Final = 4096

_HEX_DIGITS: Final = frozenset("0123456789abcdef")

NOBODY: Final = "0" * 32
"""The uid in a note of a handler that can't be a suspect, because its message isn't on disk."""

Verdict = Literal["started", "running", "waiting", "hang", "suspect", "crash"]
"""What a record says of its message:

- started: its handling had started, and nothing more is known, because there was no caution;
- running: under caution; its code was on the event loop;
- waiting: under caution; its handler was suspended, or its turn waited for the store;
- hang: the watchdog named it;
- suspect: it is on the list of suspects;
- crash: it is on the list, and a charge is due.
"""


class Started(NamedTuple):
    """A message whose handling had started and not ended, or that is on the list of suspects."""

    slot: int
    """The slot of its runner, or its place on the list of suspects."""
    verdict: Verdict
    uid: str
    address: str
    """Cut to 170 bytes of UTF-8. It is for reports; the uid identifies the message."""
    limit: int = 0
    """The number of suspects that may run at once while this one runs; 0: any number."""
    deaths: int = 0
    """The number of times in a row that the process died while it was being handled."""
    spared: bool = False
    """Whether one of those deaths was put down to another message, whose code was on the event loop."""

    @property
    def rank(self) -> tuple[float, int]:
        """The order in which suspects run: the least suspicious first, so that they needn't wait for the others."""
        return -(self.limit or math.inf), self.deaths


def is_uid(text: object) -> bool:
    """Whether `text` is 128 bits in hex: a slot has room for nothing else."""
    return isinstance(text, str) and len(text) == 32 and set(text) <= _HEX_DIGITS


class AttemptLog(abc.ABC):
    """A store's `attempts`: one slot for each runner of the node, and the list of suspects."""

    slots: int
    """The number of runners' slots, and of places on the list."""
    damaged: bool
    """Whether the file that was found made no sense, as a whole or in some of its records."""
    left: list[Started]
    """The records that `open` found."""

    @abc.abstractmethod
    def open(self) -> list[Started]:
        """Begin, and return the messages that were being handled when the last life ended, and the list of suspects.

        Raises:
            StoreFull, StoreUnavailable
        """

    @abc.abstractmethod
    def note(self, slot: int, uid_hex: str, address: str, running: bool = False) -> None:
        """The handling of a message starts. Called before the handler's first line.

        Args:
            running: under caution: the note says `running` rather than `started`.
        """

    @abc.abstractmethod
    def mark(self, slot: int, running: bool) -> None:
        """Under caution: the handler's code is on the loop from now on, or it waits. Nothing happens if the slot is
        empty."""

    @abc.abstractmethod
    def clear(self, slot: int) -> None:
        """The handling has ended, in whatever way."""

    @abc.abstractmethod
    def hang(self, slot: int, stack: str) -> None:
        """This slot's handler blocks the event loop. The watchdog says so, on any thread, and ends the process."""

    @abc.abstractmethod
    def hang_report(self) -> str:
        """The stack that the last `hang` left; "" if there is none."""

    @abc.abstractmethod
    def write_suspects(self, suspects: Sequence[Started]) -> None:
        """Write the list of suspects anew, in one go with clearing all slots. The place of each is its index."""

    @abc.abstractmethod
    def write_suspect(self, place: int, suspect: Started | None) -> None:
        """Change one place of the list; None: nobody stands there any more."""

    @abc.abstractmethod
    def close(self) -> None: ...
