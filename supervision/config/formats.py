"""Formats: which parser reads a config file, by the ending of its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .syntax import SyntaxProblem, parse_json, parse_toml

__all__ = ("EXAMPLES", "PARSERS")

EXAMPLES = {
    ".toml": '[supervisor] with id = "app"',
    ".json": '{"supervisor": {"id": "app"}}',
    ".yaml": "supervisor: {id: app}",
    ".yml": "supervisor: {id: app}",
}
"""The least that a config file can say."""


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
    ".toml": parse_toml,
    ".json": parse_json,
    ".yaml": _parse_yaml,
    ".yml": _parse_yaml,
}
"""The ending of a file's name to the parser of its text.

Each raises SyntaxProblem. The parsers of TOML and JSON raise RecursionError and ValueError, too.
"""
