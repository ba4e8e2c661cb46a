"""Options: the settings of an actor class, or of a child spec over it, for its messages."""

from __future__ import annotations

import difflib
import math
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, Protocol

import msgspec

__all__ = ("OPTION_NAMES", "Backoff", "Options", "Overflow", "Verdict", "near_miss")

Overflow = Literal["wait", "reject"]
Verdict = Literal["retry", "reject"]


FLOAT_MAX = sys.float_info.max
"""The largest number of an option. A larger whole number couldn't be stored."""


class _Draws(Protocol):
    def random(self) -> float: ...


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


class Backoff(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The wait of a failed message: `initial_s`, times `factor` per further attempt, at most `max_s`.

    `jitter` spreads each delay by that fraction either way, but not beyond `max_s`, so that messages which failed
    together don't come back together.

    Raises:
        TypeError, ValueError: a value is no number, or out of its range.
    """

    initial_s: float = 0.1
    factor: float = 2.0
    max_s: float = 60.0
    jitter: float = 0.1

    def __post_init__(self) -> None:
        for name, low, high in (
            ("initial_s", 0.0, math.inf),
            ("factor", 1.0, math.inf),
            ("max_s", 0.0, math.inf),
            ("jitter", 0.0, 1.0),
        ):
            value = getattr(self, name)
            if not _is_number(value):
                raise TypeError(f"Backoff({name}={value!r}): write a number")
            if not low <= value <= high or value == math.inf or value > FLOAT_MAX:
                limit = f" and at most {high:g}" if high < math.inf else ""
                raise ValueError(f"Backoff({name}={value!r}): write a number of at least {low:g}{limit}")

    def delay_s(self, attempt: int, random: _Draws) -> float:
        """Seconds to wait after the failed attempt of this number (from 1)."""
        try:
            delay = min(self.max_s, self.initial_s * self.factor ** (max(1, attempt) - 1))
        except OverflowError:
            delay = self.max_s if self.initial_s else 0.0
        if self.jitter:
            delay *= 1.0 + self.jitter * (2.0 * random.random() - 1.0)
        return min(self.max_s, delay)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The options of one actor class. Checked when made.

    Raises:
        TypeError, ValueError: an option has a value of the wrong type or out of its range. The text names it and
            says what to write.
    """

    durable: bool = True
    """Whether the actor has rows. If not, messages and state live in memory only, and a restart gives fresh state."""
    journal: bool = False
    """Whether the actor keeps a journal. Not in this release."""
    max_attempts: int = 5
    """The number of failed attempts after which a message becomes a dead letter."""
    backoff: Backoff = Backoff()
    """The wait of a failed message for its next attempt."""
    retry_on: tuple[type[Exception], ...] = ()
    """Exceptions that roll back and retry the message without an exit."""
    reject_on: tuple[type[Exception], ...] = ()
    """Exceptions that make the message a dead letter at once, without an exit."""
    handler_timeout_s: float | None = 60.0
    """Seconds that a handler may take; None: no limit."""
    capacity: int = 10_000
    """Messages that the mailbox holds before tells from outside wait or fail."""
    overflow: Overflow = "wait"
    """The effect of a tell from outside on a full mailbox: it waits in line, or fails with `MailboxFull`."""
    idle_timeout_s: float | None = None
    """Seconds without a message after which the actor leaves memory; None: never."""
    trap_exits: bool = False
    """Whether the exit of an actor that it is linked to is a message to it, `Exited`, rather than its own exit."""

    def __post_init__(self) -> None:
        for name in ("durable", "journal", "trap_exits"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(_wrong(name, getattr(self, name), "write True or False"))
        if self.journal:
            raise ValueError("journal = True: journals are not in this release; remove the option")
        for name in ("max_attempts", "capacity"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(_wrong(name, value, "write a whole number of at least 1"))
            if value < 1:
                raise ValueError(_wrong(name, value, "write a whole number of at least 1"))
        for name in ("handler_timeout_s", "idle_timeout_s"):
            value = getattr(self, name)
            if value is None:
                continue
            if not _is_number(value):
                raise TypeError(_wrong(name, value, "write seconds, or None for no limit"))
            if not 0 < value < math.inf:
                raise ValueError(_wrong(name, value, "write more than 0 seconds, or None for no limit"))
        if not isinstance(self.backoff, Backoff):
            raise TypeError(_wrong("backoff", self.backoff, "write Backoff(initial_s=0.1, factor=2.0, max_s=60.0)"))
        if self.overflow not in ("wait", "reject"):
            raise ValueError(_wrong("overflow", self.overflow, 'write "wait" or "reject"'))
        for name in ("retry_on", "reject_on"):
            _check_exceptions(name, getattr(self, name))
        for error in self.retry_on:
            if error in self.reject_on:
                raise ValueError(f"{error.__name__} is in retry_on and in reject_on: leave it in one of them")

    def replaced(self, **overrides: Any) -> Options:
        """These options with some changed, as a child spec does. `backoff` may be a mapping of changes.

        Raises:
            TypeError, ValueError: there is no such option, or its value is wrong.
        """
        for name, value in overrides.items():
            if name not in OPTION_NAMES:
                raise TypeError(
                    f"there is no option {name!r}{_did_you_mean(name)}; there are {', '.join(OPTION_NAMES)}"
                )
            if name == "backoff" and isinstance(value, Mapping):
                overrides[name] = _backoff_with(self.backoff, value)
            elif name in ("retry_on", "reject_on") and isinstance(value, list):
                overrides[name] = tuple(value)
        return msgspec.structs.replace(self, **overrides)

    def verdict(
        self, error: BaseException, retry: tuple[type, ...] = (), reject: tuple[type, ...] = ()
    ) -> Verdict | None:
        """The outcome for a message whose handler raised `error`; None: the actor exits.

        The listed class nearest to the error's own decides, so that `retry_on = (OSError,)` and `reject_on =
        (FileNotFoundError,)` go together. Of an `ExceptionGroup`, as `asyncio.TaskGroup` raises it, every part counts,
        unless a class of groups is listed itself: one part that isn't listed makes the actor exit; otherwise one that
        is rejected rejects the message, because it would come again with each retry.

        Args:
            retry, reject: classes that every actor's lists have.
        """
        retry, reject = (*self.retry_on, *retry), (*self.reject_on, *reject)
        return _outcome(error, retry, reject) if retry or reject else None


OPTION_NAMES: tuple[str, ...] = Options.__struct_fields__


def _outcome(error: BaseException, retry: tuple[type, ...], reject: tuple[type, ...]) -> Verdict | None:
    parts = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    outcome = _nearest(type(error), bool(parts), retry, reject)  # type: ignore[arg-type]  # classes are hashable
    if outcome is not None or not parts:
        return outcome
    outcomes = {_outcome(part, retry, reject) for part in parts}
    if None in outcomes:
        return None
    return "reject" if "reject" in outcomes else "retry"


@lru_cache(256)
def _nearest(
    kind: type[BaseException], is_group: bool, retry: tuple[type, ...], reject: tuple[type, ...]
) -> Verdict | None:
    """What the listed class nearest to an error's own says."""
    for cls in kind.__mro__:
        if is_group and not issubclass(cls, BaseExceptionGroup):
            break  # a base class of a group, such as Exception, says nothing of its parts
        if cls in reject:
            return "reject"
        if cls in retry:
            return "retry"
    return None


def near_miss(name: str) -> str | None:
    """The option that `name` is most likely a misspelling of."""
    known = (*OPTION_NAMES, "state_version")
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
    return close[0] if close and name not in known else None


def _did_you_mean(name: str) -> str:
    close = difflib.get_close_matches(name, OPTION_NAMES, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _backoff_with(backoff: Backoff, changes: Mapping[str, Any]) -> Backoff:
    for name in changes:
        if name not in Backoff.__struct_fields__:
            raise TypeError(f"backoff has no {name!r}; it has {', '.join(Backoff.__struct_fields__)}")
    return msgspec.structs.replace(backoff, **changes)


def _check_exceptions(name: str, value: Any) -> None:
    example = f"write {name} = (ValueError,)"
    if not isinstance(value, tuple):
        raise TypeError(_wrong(name, value, example))
    for error in value:
        if not isinstance(error, type) or not issubclass(error, Exception):
            found = error.__name__ if isinstance(error, type) else repr(error)
            raise TypeError(f"{name}: {found} is no subclass of Exception; {example}")


def _wrong(name: str, value: Any, remedy: str) -> str:
    return f"{name} = {value!r}: {remedy}"
