"""Build: the raw content of a config file becomes specs, and no mistake is lost.

A value that can't be built stays in the spec as it was found, and a required key that is missing becomes UNSET. So
`validate` (spec/validation.py) sees the whole tree, and all its problems are put into words there. Only those that no
spec can hold are reported here: unknown keys, and entries that don't say what they are.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET

from ..errors import Problem
from ..spec.fields import Rule, join, unknown_key
from ..spec.spec import ChildSpec, SupervisorSpec
from ..spec.validation import DEPTH_MAX
from .sections import NODE_RULES, STORE_RULES, ConfigFile

__all__ = ("build_section", "build_tree", "check_sections")

_KINDS = ("actor", "supervisor")
_ACTOR_KEYS = frozenset(ChildSpec.__struct_fields__)
_SUPERVISOR_KEYS = frozenset(SupervisorSpec.__struct_fields__)


def check_sections(content: Mapping[str, Any], problems: list[Problem]) -> None:
    """Report unknown sections. `$schema` is for editors."""
    known = ConfigFile.__struct_fields__
    for name in content:
        if name not in known and name != "$schema":
            hint = "It belongs under [supervisor]." if name in _SUPERVISOR_KEYS else ""
            problems.append(unknown_key("", name, sorted(known), hint))


def build_section(
    content: Mapping[str, Any], name: str, rules: Mapping[str, Rule], problems: list[Problem]
) -> dict[str, Any]:
    """The valid keys of a section such as `[node]`; every other one is reported."""
    table = content.get(name, {})
    if not isinstance(table, dict):
        problems.append(Problem(key=name, found=table, expected="a table", hint=f"In TOML: [{name}]"))
        return {}
    valid: dict[str, Any] = {}
    for key, value in table.items():
        rule = rules.get(key)
        problem = (
            unknown_key(name, key, sorted(rules), _elsewhere(key))
            if rule is None
            else rule.problem(join(name, key), value)
        )
        if problem is None:
            valid[key] = value
        else:
            problems.append(problem)
    return valid


def build_tree(content: Mapping[str, Any], problems: list[Problem]) -> Any:
    """The root supervisor's spec, to be validated; None if there is no such table."""
    table = content.get("supervisor")
    if isinstance(table, dict):
        return _build(table, "supervisor", problems, depth=1)
    found = table if "supervisor" in content else UNSET
    problems.append(Problem(key="supervisor", found=found, expected='a table with "id"', hint="In TOML: [supervisor]"))
    return None


def _build(raw: Any, key: str, problems: list[Problem], depth: int) -> Any:
    if not isinstance(raw, dict) or depth > DEPTH_MAX + 1:
        return raw
    table = dict(raw)
    kind = "supervisor" if depth == 1 else _kind(table, key, problems)
    stated = table.pop("kind", kind)
    if stated != kind:
        expected = '"supervisor" for the root' if depth == 1 else f"one of {', '.join(_KINDS)}"
        problems.append(Problem(key=join(key, "kind"), found=stated, expected=expected))
    known = _ACTOR_KEYS if kind == "actor" else _SUPERVISOR_KEYS
    other = _SUPERVISOR_KEYS if kind == "actor" else _ACTOR_KEYS
    values: dict[str, Any] = {"id": UNSET}
    for name, value in table.items():
        if name in known:
            values[name] = value
        else:
            problems.append(
                unknown_key(
                    key, name, sorted(known), _misplaced(name, kind, depth) if name in other else _elsewhere(name)
                )
            )
    if kind == "actor":
        values.setdefault("actor", UNSET)
        return ChildSpec(**_plain(values))
    if isinstance(children := values.get("children"), list):
        at = join(key, "children")
        values["children"] = [_build(raw, f"{at}[{i}]", problems, depth + 1) for i, raw in enumerate(children)]
    if isinstance(template := values.get("template"), dict):
        values["template"] = _build(template, join(key, "template"), problems, depth + 1)
    return SupervisorSpec(**values)


def _kind(table: dict[str, Any], key: str, problems: list[Problem]) -> str:
    """Whether an entry is an actor or a supervisor. It is an actor if it has the key `actor`, or seems to lack it."""
    if "actor" in table:
        return "actor"
    strange = [name for name in table if name not in _ACTOR_KEYS | _SUPERVISOR_KEYS and name != "kind"]
    if near := difflib.get_close_matches("actor", strange, n=1):
        problems.append(Problem(key=key, why=f"this entry has no `actor` (did you mean it for `{near[0]}`?)"))
        table["actor"] = table.pop(near[0])
        return "actor"
    if (stated := table.get("kind")) in _KINDS:
        return str(stated)
    own = sorted(_SUPERVISOR_KEYS - _ACTOR_KEYS)
    if any(name in own or difflib.get_close_matches(name, own, n=1) for name in table):
        return "supervisor"
    return "actor"


def _misplaced(name: str, kind: str, depth: int) -> str:
    if name == "actor":
        return "The root is a supervisor: put actors under its children." if depth == 1 else ""
    if kind == "actor":
        return f"`{name}` belongs to a supervisor, and this entry is an actor."
    return f"`{name}` belongs to an actor, and this entry is a supervisor."


def _elsewhere(name: str) -> str:
    """The place of a key that stands in a wrong section; "" if no place has it."""
    for section, rules in (("node", NODE_RULES), ("store", STORE_RULES)):
        if name in rules:
            return f"It belongs under [{section}]."
    if name in _ACTOR_KEYS and name not in _SUPERVISOR_KEYS:
        return f"`{name}` belongs to an actor: put it into the entry of its child."
    return f"`{name}` belongs to a supervisor." if name in _SUPERVISOR_KEYS else ""


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Turn the dates and times of TOML in `args` into texts, because JSON and the store have texts."""
    if isinstance(args := values.get("args"), dict):
        values["args"] = msgspec.to_builtins(args)
    return values
