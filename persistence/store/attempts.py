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
    """Cut to 174 bytes of UTF-8: for reports, the uid is what counts."""


def is_uid(text: object) -> bool:
    """Whether it is 128 bits in hex, the only thing that a slot has room for."""
    return isinstance(text, str) and len(text) == 32 and set(text) <= _HEX_DIGITS


class AttemptLog(abc.ABC):
    """What a store offers as `attempts`."""

    slots: int
    damaged: bool
    """The file that was found made no sense (as a whole, or some slots of it)."""
    left: list[Started]
    """What `open` found."""

    @abc.abstractmethod
    def open(self) -> list[Started]:
        """What the last life left.

        Raises:
            StoreFull, StoreUnavailable
        """

    @abc.abstractmethod
    def note(self, slot: int, uid_hex: str, address: str, solo: bool = False) -> None:
        """The message's handling starts. Before the handler's first line."""

    @abc.abstractmethod
    def clear(self, slot: int) -> None:
        """It has ended, in whatever way."""

    @abc.abstractmethod
    def hang(self, slot: int, stack: str) -> None:
        """The watchdog's word right before it ends the process: this slot's handler blocks the loop.

        From any thread.
        """

    @abc.abstractmethod
    def hang_report(self) -> str:
        """The stack that the last `hang` left, or ""."""

    @abc.abstractmethod
    def reset(self) -> None:
        """Forget everything: the verdicts have been recorded."""

    @abc.abstractmethod
    def close(self) -> None: ...
