"""Validation: the rule of each field of a spec, in words that say what is expected, and the rules between fields.

Validation imports no class (resolution.py does). It is the same for specs from code, from files and from `StartChild`.
The rules are those of OTP's supervisor.erl, `check_childspec` and `check_flags`, but for fields that OTP doesn't have.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeGuard, get_args

from msgspec import UNSET

from ...actors.definition.options import Backoff
from ..errors import Problem, did_you_mean, show
from .spec import MAX_CHILDREN, AutoShutdown, ChildSpec, Restart, RestartBackoff, Strategy, SupervisorSpec

__all__ = (
    "ACTOR_RULES",
    "DEPTH_MAX",
    "SUPERVISOR_RULES",
    "Rule",
    "is_count",
    "is_number",
    "is_positive",
    "is_reference",
    "join",
    "unknown_key",
    "validate",
    "validate_fields",
)

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")

DEPTH_MAX = 64
"""How many supervisors may stand below each other. A deeper tree is a mistake, and the recursion needs a limit."""
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


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= ID_LENGTH_MAX and value.isprintable() and "/" not in value


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

_CHILD = 'a ChildSpec (a table with "id" and "actor")'
_SUPERVISOR = 'a SupervisorSpec (a table with "id" and "strategy")'

_COMMON = {
    "id": Rule(f'a printable text of 1 to {ID_LENGTH_MAX} characters without "/"', _is_id),
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


def validate(spec: object, key: str = "", parent: SupervisorSpec | None = None) -> list[Problem]:
    """Every problem of a spec and of those below it, in order, without importing any class.

    Args:
        spec: a ChildSpec or SupervisorSpec; anything else is a problem, too.
        key: its key path, which prefixes those of the problems.
        parent: the supervisor that it is, or would be, a child of. None: it is the root.
    """
    return list(_validate(spec, key, parent, depth=1))


def _validate(spec: object, key: str, parent: SupervisorSpec | None, depth: int) -> Iterator[Problem]:
    if isinstance(spec, ChildSpec):
        yield from validate_fields(spec, key)
        yield from _significance(spec, key, parent)
    elif not isinstance(spec, SupervisorSpec):
        yield Problem(key=key, found=spec, expected=f"{_CHILD} or {_SUPERVISOR}")
    elif depth > DEPTH_MAX:
        yield Problem(key=key, why=f"more than {DEPTH_MAX} supervisors below each other")
    else:
        yield from _fields(spec, key, SUPERVISOR_RULES)
        yield from _backoff(spec.restart_backoff, join(key, "restart_backoff"), RestartBackoff)
        yield from _significance(spec, key, parent)
        yield from _strict(spec, key)
        yield from _dynamic(spec, key)
        yield from _children(spec, key, depth)


def join(key: str, name: object) -> str:
    """The key path of `name` in the table at `key`."""
    text = name if isinstance(name, str) and _BARE_KEY.fullmatch(name) else show(name)
    return f"{key}.{text}" if key else text


def validate_fields(spec: ChildSpec, key: str = "") -> Iterator[Problem]:
    """The problems of each field of a child spec by itself."""
    yield from _fields(spec, key, ACTOR_RULES)
    yield from _backoff(spec.backoff, join(key, "backoff"))
    yield from _errors(spec, key)


def _fields(spec: ChildSpec | SupervisorSpec, key: str, rules: dict[str, Rule]) -> Iterator[Problem]:
    for name, rule in rules.items():
        if problem := rule.problem(join(key, name), getattr(spec, name)):
            yield problem


def _backoff(value: Any, key: str, kind: type[Backoff] = Backoff) -> Iterator[Problem]:
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


def unknown_key(key: str, name: object, known: Sequence[str], hint: str = "") -> Problem:
    hint = hint or did_you_mean(name, known) or f"There are {', '.join(known)}."
    return Problem(key=join(key, name), why="there is no such key", hint=hint)


def _errors(spec: ChildSpec, key: str) -> Iterator[Problem]:
    for name in ("retry_on", "reject_on"):
        value = getattr(spec, name)
        if isinstance(value, list | tuple):
            for place, entry in enumerate(value):
                if problem := _ERROR.problem(f"{join(key, name)}[{place}]", entry):
                    yield problem
        elif value is not None:
            yield Problem(key=join(key, name), found=value, expected="an array of exception classes")


def _significance(spec: ChildSpec | SupervisorSpec, key: str, parent: SupervisorSpec | None) -> Iterator[Problem]:
    """OTP: supervisor.erl, `validSignificant`."""
    if spec.significant is not True:
        return
    at = join(key, "significant")
    if parent is None:
        yield Problem(key=at, found=True, expected="false: the root has no supervisor that its end could end")
        return
    if parent.strategy == "dynamic":
        yield Problem(key=at, found=True, expected="false: children of a dynamic supervisor can't be significant")
    elif parent.auto_shutdown == "never":
        hint = 'Set auto_shutdown = "any_significant" or "all_significant" there.'
        yield Problem(key=at, found=True, expected=f'false: {show(parent.id)} has auto_shutdown = "never"', hint=hint)
    if spec.restart == "permanent":
        hint = 'Set restart = "transient" or "temporary".'
        yield Problem(key=at, found=True, expected="false: a permanent child is always restarted", hint=hint)


def _strict(spec: SupervisorSpec, key: str) -> Iterator[Problem]:
    if spec.strict is True and spec.restart_backoff is not None:
        hint = "OTP restarts at once. Leave one of the two out."
        at = join(key, "restart_backoff")
        yield Problem(key=at, found=spec.restart_backoff, expected="none for strict = true", hint=hint)


def _dynamic(spec: SupervisorSpec, key: str) -> Iterator[Problem]:
    """The fields that only dynamic and partition supervisors have, and those that they can't have. OTP:
    `validAutoShutdownForStrategy`."""
    if spec.strategy == "partition":
        yield from _partition(spec, key)
    elif spec.partitions is not None and spec.strategy in get_args(Strategy):
        hint = 'Set strategy = "partition", or leave partitions out.'
        expected = 'none unless strategy = "partition"'
        yield Problem(key=join(key, "partitions"), found=spec.partitions, expected=expected, hint=hint)
    if spec.strategy == "dynamic":
        if spec.auto_shutdown in ("any_significant", "all_significant"):
            yield Problem(
                key=join(key, "auto_shutdown"),
                found=spec.auto_shutdown,
                expected='"never" for strategy = "dynamic"',
            )
        if isinstance(spec.children, tuple) and spec.children:
            hint = "Give a template, or start them by StartChild, or choose another strategy."
            yield Problem(
                key=join(key, "children"),
                found=spec.children,
                expected='none for strategy = "dynamic"',
                hint=hint,
            )
    elif spec.strategy in get_args(Strategy):
        hint = 'Set strategy = "dynamic", or leave {} out.'
        if spec.template is not None and spec.strategy != "partition":
            at = join(key, "template")
            yield Problem(
                key=at,
                found=spec.template,
                expected='none unless strategy = "dynamic"',
                hint=hint.format("template"),
            )
        if spec.max_children != MAX_CHILDREN:
            at = join(key, "max_children")
            yield Problem(
                key=at,
                found=spec.max_children,
                expected='none unless strategy = "dynamic"',
                hint=hint.format("max_children"),
            )


def _partition(spec: SupervisorSpec, key: str) -> Iterator[Problem]:
    if spec.template is None:
        yield Problem(key=join(key, "template"), found=UNSET, expected=f'{_CHILD} for strategy = "partition"')
    if spec.partitions is None:
        at = join(key, "partitions")
        yield Problem(key=at, found=UNSET, expected='a whole number of at least 1 for strategy = "partition"')
    if isinstance(spec.children, tuple) and spec.children:
        hint = "Its children are made from the template."
        at = join(key, "children")
        yield Problem(key=at, found=spec.children, expected='none for strategy = "partition"', hint=hint)


def _children(spec: SupervisorSpec, key: str, depth: int) -> Iterator[Problem]:
    if spec.template is not None:
        at = join(key, "template")
        if isinstance(spec.template, ChildSpec):
            yield from _validate(spec.template, at, spec, depth + 1)
        else:
            yield Problem(key=at, found=spec.template, expected=_CHILD)
    if not isinstance(spec.children, list | tuple):
        hint = f"In TOML: [[{join(key, 'children')}]]" if isinstance(spec.children, dict) else ""
        yield Problem(key=join(key, "children"), found=spec.children, expected="an array of child specs", hint=hint)
        return
    first: dict[str, int] = {}
    for place, child in enumerate(spec.children):
        at = f"{join(key, 'children')}[{place}]"
        yield from _validate(child, at, spec, depth + 1)
        if isinstance(child, ChildSpec | SupervisorSpec) and _is_id(child.id):
            earlier = first.setdefault(child.id, place)
            if earlier != place:
                expected = f"an id of its own: children[{earlier}] has that one"
                yield Problem(key=f"{at}.id", found=child.id, expected=expected)
