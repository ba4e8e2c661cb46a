"""Sources: a configuration comes from a TOML, JSON or YAML file, from the environment and from flags.

If several of them give a value, the first of flag, environment, file and default counts.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ConfigError, Problem, did_you_mean
from ..spec.fields import Rule
from .formats import EXAMPLES, PARSERS
from .syntax import SyntaxProblem

__all__ = ("ENVIRONMENT_PREFIX", "Given", "read_environment", "read_file", "read_overrides", "settle")

ENVIRONMENT_PREFIX = "GREENROOM_"
FILE_BYTES_MAX = 16 * 2**20


class Given(NamedTuple):
    """A value and its source."""

    value: Any
    origin: str
    """`flag`, `environment GREENROOM_NODE__HANG_S`, `file bank.toml`, `class bank:Ledger` or `default`."""


# -- the file -----------------------------------------------------------------------------------------


def read_file(path: Path) -> dict[str, Any]:
    """The content of a config file, unchecked.

    Raises:
        ConfigError: there is no such file, it can't be read, or its syntax is broken (with line and column).
    """

    def failed(why: str, hint: str = "") -> ConfigError:
        return ConfigError(str(path), [Problem(why=why, hint=hint)])

    suffix = path.suffix.lower()
    if path.is_dir():
        inside = sorted(found.name for found in path.iterdir() if found.suffix in PARSERS)
        raise failed("this is a folder, expected a file", f'Did you mean "{path / inside[0]}"?' if inside else "")
    if suffix not in PARSERS:
        raise failed(f'found the ending "{path.suffix}", expected .toml, .json, .yaml or .yml')
    example = f"The least there can be is {EXAMPLES[suffix]}."
    try:
        if path.exists() and not path.is_file():
            raise failed("this is no regular file")
        with path.open("rb") as stream:
            data = stream.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise failed("there is no such file", _nearest_file(path)) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise failed(f"it can't be read: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > FILE_BYTES_MAX:
        raise failed(f"it has more than {FILE_BYTES_MAX // 2**20} MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise failed(
            f"line {line}: it isn't UTF-8 text (byte 0x{data[error.start]:02x} at offset {error.start})"
        ) from None
    if not text.strip():
        raise failed("the file is empty", example)
    try:
        content = PARSERS[suffix](text)
    except SyntaxProblem as error:
        raise failed(error.why, error.hint) from None
    except RecursionError:
        raise failed("it is nested too deeply") from None
    except ValueError:  # sys.set_int_max_str_digits
        raise failed("it has a number of too many digits") from None
    if not isinstance(content, dict):
        raise ConfigError(str(path), [Problem(found=content, expected="a table", hint=example)])
    return content


def _nearest_file(path: Path) -> str:
    if not path.parent.is_dir():
        return f"There is no folder {path.parent} either."
    present = [found.name for found in path.parent.iterdir() if found.suffix in PARSERS]
    near = difflib.get_close_matches(path.name, present, n=1)
    return f'Did you mean "{path.parent / near[0]}"?' if near else "`greenroom init` writes an example."


# -- environment and flags ----------------------------------------------------------------------------


def read_environment(environ: Mapping[str, str], keys: Mapping[str, Rule]) -> tuple[dict[str, Given], list[Problem]]:
    """The values that the environment gives: `GREENROOM_NODE__HANG_S` for the key `node.hang_s`.

    Args:
        keys: the key paths that can be set, each with the rule of its values.

    Returns:
        Key path to value, and the variables of that form that name no key.
    """
    names = {f"{ENVIRONMENT_PREFIX}{key.replace('.', '__').upper()}": key for key in keys}
    given: dict[str, Given] = {}
    problems: list[Problem] = []
    for name, text in sorted(environ.items()):
        if not name.startswith(ENVIRONMENT_PREFIX) or "__" not in name:
            continue
        if key := names.get(name):
            given[key] = Given(_parsed(text, keys[key].holds), f"environment {name}")
        else:
            hint = _nearest_variable(name, names) or "Only [store], [node] and the root supervisor can be set so."
            problems.append(Problem(why="this variable sets nothing", hint=hint, origin=name))
    return given, problems


def _nearest_variable(name: str, names: Iterable[str]) -> str:
    tails = [known.removeprefix(ENVIRONMENT_PREFIX) for known in names]
    near = difflib.get_close_matches(name.removeprefix(ENVIRONMENT_PREFIX), tails, n=1)
    return f'Did you mean "{ENVIRONMENT_PREFIX}{near[0]}"?' if near else ""


def read_overrides(overrides: Mapping[str, Any], keys: Mapping[str, Rule]) -> tuple[dict[str, Given], list[Problem]]:
    """The values that flags give: key path to value, as text or typed. None means that the flag wasn't given."""
    given: dict[str, Given] = {}
    problems: list[Problem] = []
    for key, value in overrides.items():
        if value is None:
            continue
        if key not in keys:
            problems.append(Problem(why="this flag sets nothing", hint=did_you_mean(key, keys), origin=f"flag {key}"))
        else:
            given[key] = Given(_parsed(value, keys[key].holds) if isinstance(value, str) else value, "flag")
    return given, problems


def _parsed(text: str, holds: Callable[[Any], bool]) -> Any:
    """The text itself where text is wanted, else the number or boolean that it spells."""
    if holds(text):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, bool | int | float) else text


def settle(content: dict[str, Any], given: Mapping[str, Given]) -> dict[str, Any]:
    """A copy of the file's content, with the values of flags and environment in place of its own."""
    content = dict(content)
    for key, entry in given.items():
        section, _, name = key.partition(".")
        table = content.get(section, {})
        if isinstance(table, dict):
            content[section] = {**table, name: entry.value}
    return content
