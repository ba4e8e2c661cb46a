"""AttemptLog: a store's note of the messages that are being handled, which outlives the process."""

from __future__ import annotations

import abc
from typing import Final, Literal, NamedTuple

__all__ = ("SLOTS", "AttemptLog", "Started", "Verdict", "is_uid")

SLOTS: Final = 4096

_HEX_DIGITS: Final = frozenset("0123456789abcdef")

Verdict = Literal["started", "solo", "hang"]


class Started(NamedTuple):
    """A message whose handling had started and not ended."""

    slot: int
    verdict: Verdict
    uid: str
    address: str
    """Cut to 174 bytes of UTF-8. It is for reports; the uid identifies the message."""


def is_uid(text: object) -> bool:
    """Whether `text` is 128 bits in hex: a slot has room for nothing else."""
    return isinstance(text, str) and len(text) == 32 and set(text) <= _HEX_DIGITS


class AttemptLog(abc.ABC):
    """A store's `attempts`: one slot for each runner of the node."""

    slots: int
    damaged: bool
    """Whether the file that was found made no sense, as a whole or in some of its slots."""
    left: list[Started]
    """The messages that `open` found."""

    @abc.abstractmethod
    def open(self) -> list[Started]:
        """Begin, and return the messages that were being handled when the last life ended.

        Raises:
            StoreFull, StoreUnavailable
        """

    @abc.abstractmethod
    def note(self, slot: int, uid_hex: str, address: str, solo: bool = False) -> None:
        """The handling of a message starts. Called before the handler's first line."""

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
    def reset(self) -> None:
        """Forget everything, because the verdicts have been recorded."""

    @abc.abstractmethod
    def close(self) -> None: ...
