"""Fields: the rule of each field of a spec, in words that say what is expected.

The rules are those of OTP's supervisor.erl, `check_childspec` and `check_flags`, but for fields that OTP doesn't have.
The rules between fields are in validation.py.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeGuard, get_args

from msgspec import UNSET

from ...actors.definition.options import Backoff
from ..errors import Problem, did_you_mean, show
from .spec import AutoShutdown, ChildSpec, Restart, Strategy, SupervisorSpec

__all__ = (
    "ACTOR_RULES",
    "ID_LENGTH_MAX",
    "SUPERVISOR_RULES",
    "Rule",
    "backoff_problems",
    "field_problems",
    "is_count",
    "is_id",
    "is_key",
    "is_number",
    "is_positive",
    "is_reference",
    "join",
    "unknown_key",
    "validate_fields",
)

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")

ID_LENGTH_MAX = 200


class Rule(NamedTuple):
    """The rule of one field."""

    expected: str
    holds: Callable[[Any], bool]
    choices: tuple[str, ...] = ()
    advise: Callable[[Any], str] | None = None

    def problem(self, key: str, value: Any) -> Problem | None:
        if self.holds(value):
            return None
        if self.advise is not None:
            hint = self.advise(value)
        else:
            hint = did_you_mean(value, self.choices) if isinstance(value, str) else ""
        return Problem(key=key, found=value, expected=self.expected, hint=hint)


def is_number(value: Any, least: float = -math.inf) -> bool:
    try:
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return number and value >= least
    except OverflowError:
        return False


def is_positive(value: Any) -> bool:
    return is_number(value) and value > 0


def is_count(value: Any, least: int = 1) -> bool:
    return isinstance(value, int) and is_number(value, least)


def is_id(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= ID_LENGTH_MAX and value.isprintable() and "/" not in value


def is_key(key: str) -> bool:
    """Whether it can be the last part of an address under a template."""
    return 0 < len(key) <= ID_LENGTH_MAX and key.isprintable()


def is_reference(value: Any) -> TypeGuard[str]:
    if not isinstance(value, str):
        return False
    module, colon, name = value.partition(":")
    return bool(colon and module and name and ":" not in name) and not any(map(str.isspace, value))


def _is_error_reference(value: Any) -> bool:
    return is_reference(value) or (isinstance(value, str) and value.isidentifier())


def _advise_reference(value: Any) -> str:
    if value is UNSET:
        return 'Add actor = "module:Class"; or a strategy, if it is a supervisor.'
    if hasattr(type(value), "__definition__"):
        return f"Give the class itself: actor={type(value).__name__}."
    if not isinstance(value, str) or "." not in value or ":" in value:
        return ""
    module, _, name = value.rpartition(".")
    return f'Did you mean "{module}:{name}"?' if is_reference(f"{module}:{name}") else ""


def _is_limit(value: Any) -> bool:
    return value == "infinity" or is_positive(value)


def _is_shutdown(value: Any) -> bool:
    return is_number(value, 0) or (isinstance(value, str) and value in ("brutal_kill", "infinity"))


def _is_args(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(name, str) for name in value)


def _one_of(*choices: str) -> Rule:
    return Rule(f"one of {', '.join(choices)}", lambda v: isinstance(v, str) and v in choices, choices)


def _or_none(rule: Rule) -> Rule:
    return rule._replace(holds=lambda value: value is None or rule.holds(value))


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


_BOOL = Rule("true or false", _is_bool)
_COUNT = Rule("a whole number of at least 1", is_count)
_LIMIT = Rule('a number of seconds above 0, or "infinity"', _is_limit, ("infinity",))


_COMMON = {
    "id": Rule(f'a printable text of 1 to {ID_LENGTH_MAX} characters without "/"', is_id),
    "restart": _one_of(*get_args(Restart)),
    "shutdown": Rule(
        'a number of seconds of at least 0, "brutal_kill" or "infinity"',
        _is_shutdown,
        ("brutal_kill", "infinity"),
    ),
    "significant": _BOOL,
}
ACTOR_RULES = _COMMON | {
    "actor": Rule('an actor class as "module:Class"', is_reference, advise=_advise_reference),
    "args": Rule("a table of keyword arguments", _is_args),
    "durable": _or_none(_BOOL),
    "journal": _or_none(_BOOL),
    "max_attempts": _or_none(_COUNT),
    "handler_timeout_s": _or_none(_LIMIT),
    "capacity": _or_none(_COUNT),
    "overflow": _or_none(_one_of("wait", "reject")),
    "idle_timeout_s": _or_none(_LIMIT),
    "trap_exits": _or_none(_BOOL),
}
_ERROR = Rule(
    'an exception class as "module:Class", or a builtin one by its name',
    _is_error_reference,
    advise=_advise_reference,
)
SUPERVISOR_RULES = _COMMON | {
    "strategy": _one_of(*get_args(Strategy)),
    "intensity": Rule("a whole number of at least 0", lambda value: is_count(value, 0)),
    "period_s": Rule("a number of seconds above 0", is_positive),
    "auto_shutdown": _one_of(*get_args(AutoShutdown)),
    "strict": _BOOL,
    "partitions": _or_none(_COUNT),
    "max_children": _COUNT,
}


_OTHER_WORDS = {
    "class": "actor",
    "kwargs": "args",
    "mailbox_limit": "capacity",
    "mailbox_size": "capacity",
    "max_mailbox": "capacity",
    "max_queue": "capacity",
    "queue_size": "capacity",
    "max_restarts": "intensity",
    "max_retries": "max_attempts",
    "retries": "max_attempts",
    "max_seconds": "period_s",
    "name": "id",
    "timeout": "handler_timeout_s",
    "timeout_s": "handler_timeout_s",
}
"""Names that keys have in other systems, and in other parts of greenroom."""

# -- the problems of a spec, field by field ---------------------------------------------------------------


def join(key: str, name: object) -> str:
    """The key path of `name` in the table at `key`."""
    text = name if isinstance(name, str) and _BARE_KEY.fullmatch(name) else show(name)
    return f"{key}.{text}" if key else text


def unknown_key(key: str, name: object, known: Sequence[str], hint: str = "") -> Problem:
    """The problem of a key that there isn't at this place.

    Args:
        hint: the right place for it, if it is a key of another one.
    """
    hint = hint or _other_word(name, known) or did_you_mean(name, known) or f"There are {', '.join(known)}."
    return Problem(key=join(key, name), why="there is no such key", hint=hint)


def _other_word(name: object, known: Sequence[str]) -> str:
    """A hint for a key that has another name elsewhere: in OTP, in Elixir, in queues."""
    near = difflib.get_close_matches(str(name)[:200].lower(), _OTHER_WORDS, n=1, cutoff=0.85)
    key = _OTHER_WORDS[near[0]] if near else ""
    if not key or name in known:
        return ""
    if key in known:
        return f"Here it is called `{key}`."
    owner = "an actor" if key in ACTOR_RULES else "a supervisor"
    return f"It is called `{key}`, and belongs to {owner}."


def validate_fields(spec: ChildSpec, key: str = "") -> Iterator[Problem]:
    """The problems of each field of a child spec by itself."""
    yield from field_problems(spec, key, ACTOR_RULES)
    yield from backoff_problems(spec.backoff, join(key, "backoff"))
    yield from _errors(spec, key)


def field_problems(spec: ChildSpec | SupervisorSpec, key: str, rules: dict[str, Rule]) -> Iterator[Problem]:
    for name, rule in rules.items():
        if problem := rule.problem(join(key, name), getattr(spec, name)):
            yield problem


def backoff_problems(value: Any, key: str, kind: type[Backoff] = Backoff) -> Iterator[Problem]:
    names = kind.__struct_fields__
    if value is None:
        return
    if not isinstance(value, dict):
        yield Problem(key=key, found=value, expected=f"a table of {', '.join(names)}")
        return
    for name, entry in value.items():
        if name not in names:
            yield unknown_key(key, name, names)
            continue
        try:
            kind(**{name: entry})
        except (TypeError, ValueError) as error:  # "Backoff(factor=0): write a number of at least 1"
            yield Problem(key=join(key, name), found=entry, expected=str(error).rpartition("write ")[2])


def _errors(spec: ChildSpec, key: str) -> Iterator[Problem]:
    for name in ("retry_on", "reject_on"):
        value = getattr(spec, name)
        if isinstance(value, list | tuple):
            for place, entry in enumerate(value):
                if problem := _ERROR.problem(f"{join(key, name)}[{place}]", entry):
                    yield problem
        elif value is not None:
            yield Problem(key=join(key, name), found=value, expected="an array of exception classes")
