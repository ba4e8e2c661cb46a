"""Syntax: the text of a config file, TOML, JSON or YAML, becomes plain data."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from typing import Any

__all__ = ("EXAMPLES", "PARSERS", "SyntaxProblem")

EXAMPLES = {
    ".toml": '[supervisor] with id = "app"',
    ".json": '{"supervisor": {"id": "app"}}',
    ".yaml": "supervisor: {id: app}",
    ".yml": "supervisor: {id: app}",
}
"""The least that a config file can say."""


class SyntaxProblem(Exception):
    """A text that can't be read, with the place of its mistake. `hint` says what to do about it: full sentences."""

    def __init__(self, why: str, hint: str = "") -> None:
        self.why = why
        self.hint = hint
        super().__init__(why)


def _parse_toml(text: str) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, _, place = str(error).rpartition(" (at ")
        place = place.rstrip(")")
        if place == "end of document":
            lines = text.splitlines()
            place = f"line {len(lines)}, column {len(lines[-1]) + 1}"
        raise SyntaxProblem(f"{place}: this is no TOML: {what}") from None


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise SyntaxProblem(f"line {error.lineno}, column {error.colno}: this is no JSON: {error.msg}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise SyntaxProblem(f'the key "{twice}" stands twice in one object')
    return table


def _parse_yaml(text: str) -> Any:
    try:
        from .yaml_syntax import parse_yaml  # its library is an extra
    except ModuleNotFoundError as error:
        if error.name != "yaml":
            raise
        hint = "Run: pip install 'greenroom[yaml]'. Or write it as TOML (.toml) or JSON (.json)."
        raise SyntaxProblem("YAML takes a library that isn't installed", hint) from None
    return parse_yaml(text)


PARSERS: dict[str, Callable[[str], Any]] = {
    ".toml": _parse_toml,
    ".json": _parse_json,
    ".yaml": _parse_yaml,
    ".yml": _parse_yaml,
}
"""The ending of a file's name to the parser of its text.

Each raises SyntaxProblem; TOML's and JSON's also RecursionError, and ValueError for an integer of too many digits.
"""
