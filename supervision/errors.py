"""The errors of supervision: a tree can't be run (`ConfigError`), a request is refused, a tree gave up."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from ..persistence.errors import GreenroomError

__all__ = (
    "AdministrationFailed",
    "AlreadyPresent",
    "AlreadyStarted",
    "ChildNotFound",
    "ConfigError",
    "NotForDynamic",
    "Problem",
    "Restarting",
    "Running",
    "SupervisorError",
    "TooManyChildren",
    "TreeGaveUp",
)

_SHOWN_MAX = 80
_PROBLEMS_SHOWN_MAX = 50
_EXITS_SHOWN_MAX = 10
_PLACE = re.compile(r"children\[(\d+)\]")


def show(value: Any) -> str:
    """A value as a config file has it, or nearly so, in at most 80 characters."""
    if value is msgspec.UNSET:
        return "nothing"
    if isinstance(value, dict):
        return "a table" if value else "an empty table"
    if isinstance(value, list | tuple):
        return "an array" if value else "an empty array"
    if isinstance(value, msgspec.Struct):
        return f"a {type(value).__name__}"
    if value is None or isinstance(value, str | bool | int | float):
        try:
            text = json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()
        except ValueError:  # an integer of more digits than Python prints
            text = "an integer of very many digits"
    else:
        text = repr(value)
    return text if len(text) <= _SHOWN_MAX else f"{text[: _SHOWN_MAX - 1]}…"


def did_you_mean(found: object, choices: Iterable[str]) -> str:
    """`Did you mean "x"?` for the nearest of `choices`, or "" if none is near."""
    near = difflib.get_close_matches(str(found)[:200], list(choices), n=1)
    return f'Did you mean "{near[0]}"?' if near else ""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong with a config or a spec."""

    key: str = ""
    """The key path, `supervisor.children[1].restart`; "" for the file as a whole."""
    why: str = ""
    """The mistake in words, where `found` and `expected` aren't enough."""
    found: Any = msgspec.UNSET
    expected: str = ""
    hint: str = ""
    """How to mend it, in full sentences."""
    origin: str = ""
    """The environment variable, or the flag, that the value came from; "" if it came from the file."""

    def __str__(self) -> str:
        parts = [part for part in (self.why, self._found_and_expected()) if part]
        where = self.origin or self.key
        text = f"{where}: {': '.join(parts)}" if where else ": ".join(parts)
        return f"{text}. {self.hint}" if self.hint else text

    def _found_and_expected(self) -> str:
        return f"found {show(self.found)}, expected {self.expected}" if self.expected else ""


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """The problems of one entry of the tree side by side, entries in the order of the file."""
    return sorted(problems, key=lambda problem: [int(place) for place in _PLACE.findall(problem.key)])


class ConfigError(GreenroomError):
    """A config file, or a tree built in code, that can't be run. The error has every problem there is.

    Attributes:
        file: the file as it was named, or the root spec of a tree in code (`SupervisorSpec "bank"`).
        problems: everything that is wrong. `key`, `found`, `expected` and `hint` are those of the first.
    """

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        assert problems, "a ConfigError without a problem"
        self.file = file
        self.problems = tuple(problems)
        first = self.problems[0]
        self.key = first.key
        self.found = first.found
        self.expected = first.expected
        self.hint = first.hint
        super().__init__(self._message())

    def _message(self) -> str:
        if len(self.problems) == 1:
            return self._line(self.problems[0])
        lines = [f"{self.file or 'config'}: {len(self.problems)} problems"]
        lines += [f"  {problem}" for problem in self.problems[:_PROBLEMS_SHOWN_MAX]]
        if (more := len(self.problems) - _PROBLEMS_SHOWN_MAX) > 0:
            lines.append(f"  … and {more} more")
        return "\n".join(lines)

    def _line(self, problem: Problem) -> str:
        return f"{self.file}: {problem}" if self.file and not problem.origin else str(problem)

    def __reduce__(self) -> Any:
        return (type(self), (self.file, self.problems))


class AdministrationFailed(GreenroomError):
    """An administrative command can't be carried out."""


class SupervisorError(GreenroomError):
    """The base of the errors by which a supervisor refuses a request. OTP: supervisor(3), `start_child` etc.

    Attributes:
        supervisor: the supervisor's address.
        child: the child's id.
    """

    _text = "{supervisor} refused a request about its child {child!r}"

    def __init__(self, supervisor: str, child: str) -> None:
        self.supervisor = supervisor
        self.child = child
        super().__init__(self._text.format(supervisor=supervisor, child=child))

    def __reduce__(self) -> Any:
        return (type(self), (self.supervisor, self.child))


class AlreadyStarted(SupervisorError):
    """`StartChild` for an id whose child is running. OTP: `{error, {already_started, Child}}`."""

    _text = (
        "{supervisor} already has a running child {child!r}. Give the new one another id, or terminate this one first"
    )


class AlreadyPresent(SupervisorError):
    """`StartChild` for an id whose spec is kept without a process. OTP: `{error, already_present}`."""

    _text = "{supervisor} already has the spec of {child!r}, which isn't running. Restart it, or delete it first"


class Running(SupervisorError):
    """`RestartChild` or `DeleteChild` for a child that runs. OTP: `{error, running}`."""

    _text = "{supervisor}'s child {child!r} is running. Terminate it first"


class ChildNotFound(SupervisorError):
    """The supervisor has no child of that id. OTP: `{error, not_found}`."""

    _text = "{supervisor} has no child {child!r}. `WhichChildren`, or `greenroom tree`, shows those that it has"


class Restarting(SupervisorError):
    """`RestartChild` or `DeleteChild` for a child that is being restarted. OTP: `{error, restarting}`."""

    _text = "{supervisor}'s child {child!r} is being restarted. Terminate it first"


class NotForDynamic(SupervisorError):
    """A request that isn't possible for children of a dynamic supervisor, because their specs go when they end.

    OTP: `{error, simple_one_for_one}`; Elixir's DynamicSupervisor has no such call.
    """

    _text = "{supervisor} is dynamic: child {child!r} can be started and terminated, not restarted or deleted"


class TooManyChildren(SupervisorError):
    """`StartChild` for a dynamic supervisor that has `max_children`. Elixir: `{error, max_children}`."""

    _text = (
        "{supervisor} has as many children as its max_children allows; {child!r} wasn't started. Raise max_children, "
        "or terminate others first"
    )


class TreeGaveUp(GreenroomError):
    """The root supervisor exceeded its restart intensity; the node has ended. `greenroom run` exits 70.

    OTP: supervisor(3), "Maximum restart intensity".

    Attributes:
        address: the root supervisor's.
        reason: why, in one line.
        history: the exits that led to it, oldest first; the message shows the last ten.
    """

    def __init__(self, address: str, reason: object, history: Sequence[object] = ()) -> None:
        self.address = address
        self.reason = reason
        self.history = tuple(history)
        lines = [f"{address} gave up: {reason}"]
        if self.history:
            lines += [f"  {entry}" for entry in self.history[-_EXITS_SHOWN_MAX:]]
        super().__init__("\n".join(lines))

    def __reduce__(self) -> Any:
        return (type(self), (self.address, self.reason, self.history))
