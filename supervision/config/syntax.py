"""Syntax: a text in TOML or JSON becomes plain data; yaml_syntax.py does the same for YAML."""

from __future__ import annotations

import json
import tomllib
from typing import Any

__all__ = ("SyntaxProblem", "parse_json", "parse_toml")


class SyntaxProblem(Exception):
    """A text that can't be read, with the place of its mistake. `hint` says what to do about it: full sentences."""

    def __init__(self, why: str, hint: str = "") -> None:
        self.why = why
        self.hint = hint
        super().__init__(why)


def parse_toml(text: str) -> Any:
    """
    Raises:
        SyntaxProblem: with line and column.
        RecursionError: it is nested too deeply.
        ValueError: an integer has too many digits.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, _, place = str(error).rpartition(" (at ")
        place = place.rstrip(")")
        if place == "end of document":
            lines = text.splitlines()
            place = f"line {len(lines)}, column {len(lines[-1]) + 1}"
        raise SyntaxProblem(f"{place}: this is no TOML: {what}") from None


def parse_json(text: str) -> Any:
    """
    Raises:
        SyntaxProblem: with line and column.
        RecursionError, ValueError: as `parse_toml`.
    """
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
