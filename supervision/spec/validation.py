"""Validation: every problem of a spec and of those below it, and the rules between fields.

Validation imports no class (resolution.py does). It is the same for specs from code, from files and from `StartChild`.
The rule of each field by itself is in fields.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from msgspec import UNSET

from ..errors import Problem, show
from .fields import SUPERVISOR_RULES, backoff_problems, field_problems, is_id, join, validate_fields
from .spec import MAX_CHILDREN, ChildSpec, RestartBackoff, Strategy, SupervisorSpec

__all__ = ("DEPTH_MAX", "validate")

DEPTH_MAX = 64
"""How many supervisors may stand below each other. A deeper tree is a mistake, and the recursion needs a limit."""

_CHILD = 'a ChildSpec (a table with "id" and "actor")'
_SUPERVISOR = 'a SupervisorSpec (a table with "id" and "strategy")'


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
        hint = f'Write ChildSpec(id="…", actor={spec.__name__}).' if isinstance(spec, type) else ""
        yield Problem(key=key, found=spec, expected=f"{_CHILD} or {_SUPERVISOR}", hint=hint)
    elif depth > DEPTH_MAX:
        yield Problem(key=key, why=f"more than {DEPTH_MAX} supervisors below each other")
    else:
        yield from field_problems(spec, key, SUPERVISOR_RULES)
        yield from backoff_problems(spec.restart_backoff, join(key, "restart_backoff"), RestartBackoff)
        yield from _significance(spec, key, parent)
        yield from _strict(spec, key)
        yield from _dynamic(spec, key)
        yield from _children(spec, key, depth)


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
        if isinstance(spec.children, ChildSpec | SupervisorSpec):
            hint = "Put it into a list."
        yield Problem(key=join(key, "children"), found=spec.children, expected="an array of child specs", hint=hint)
        return
    first: dict[str, int] = {}
    for place, child in enumerate(spec.children):
        at = f"{join(key, 'children')}[{place}]"
        yield from _validate(child, at, spec, depth + 1)
        if isinstance(child, ChildSpec | SupervisorSpec) and is_id(child.id):
            earlier = first.setdefault(child.id, place)
            if earlier != place:
                expected = f"an id of its own: children[{earlier}] has that one"
                yield Problem(key=f"{at}.id", found=child.id, expected=expected)
