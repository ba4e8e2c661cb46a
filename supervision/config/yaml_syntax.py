"""YAML: a config file's text becomes plain data by the core schema of YAML 1.2.2, chapter 10.3.

Only the parser of PyYAML is used, which yields events. So the habits of YAML 1.1 and its loaders don't apply: `no` and
`on` as booleans, `1:30` as ninety, `010` as eight, dates as objects, the last of two equal keys, `<<`, and tags that
make objects. `no`, `1:30` and `2026-01-02` are texts here; equal keys, `<<` and tags are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from ..errors import show
from .syntax import SyntaxProblem

__all__ = ("CHARACTERS_MAX", "DEPTH_MAX", "parse_yaml")

CHARACTERS_MAX = 2**20
"""How many characters a file, and its values with all aliases written out, may have. PyYAML reads 100,000 a second."""
DEPTH_MAX = 200
"""How many collections may stand inside each other: some 60 supervisors below each other take 120."""

_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_BASES = {"0o": 8, "0x": 16}


def parse_yaml(text: str) -> Any:
    """The one document in `text`: dicts with keys of text, lists, texts, numbers, booleans and None.

    Raises:
        SyntaxProblem: with line and column.
    """
    if len(text) > CHARACTERS_MAX:
        hint = "A TOML or JSON file may have more."
        raise SyntaxProblem(f"it has more than {CHARACTERS_MAX // 2**20} MiB, too much for YAML", hint)
    reader = _Reader()
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            reader.take(event)
    except yaml.MarkedYAMLError as error:
        what = " ".join(part for part in (error.problem, error.context) if part)
        hint = "Indent with spaces." if "'\\t'" in what else ""
        raise SyntaxProblem(f"{_place(error.problem_mark)}: this is no YAML: {what}", hint) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - before.rfind("\n")
        what = f"a character that no YAML has (U+{ord(text[error.position]):04X})"
        raise SyntaxProblem(f"line {line}, column {column}: this is no YAML: {what}") from None
    except (ValueError, OverflowError):  # of chr(), in PyYAML
        raise SyntaxProblem(
            f"after {_place(reader.mark)}: this is no YAML: an escape that names no character"
        ) from None
    if not reader.documents:
        raise SyntaxProblem("it has nothing but comments")
    return reader.content


def _place(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark else "line 1"


@dataclass(slots=True)
class _Open:
    """A table or an array whose end is still to come."""

    value: Any
    anchor: str | None
    before: int
    """How many characters had been read when it began."""
    key: str | None = None
    """The key whose value comes next; None if a key comes next."""
    lines: dict[str, int] = field(default_factory=dict)
    """The line of each key."""

    def wants_key(self) -> bool:
        return isinstance(self.value, dict) and self.key is None


class _Reader:
    """Takes one event after the other, so that every limit holds before the next one is read."""

    def __init__(self) -> None:
        self.documents = 0
        self.content: Any = None
        self.mark: Any = None
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int] | None] = {}
        """The value of each anchor and its characters; None until its end."""
        self._characters = 0

    def take(self, event: yaml.Event) -> None:
        self.mark = event.start_mark
        if isinstance(event, yaml.DocumentStartEvent):
            self._begin(event)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event.anchor)
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._start({} if isinstance(event, yaml.MappingStartEvent) else [], event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._end()

    def _refuse(self, why: str, hint: str = "") -> SyntaxProblem:
        return SyntaxProblem(f"{_place(self.mark)}: {why}", hint)

    def _begin(self, event: yaml.DocumentStartEvent) -> None:
        self.documents += 1
        if self.documents > 1:
            raise self._refuse("a second document begins here", "A config file has one.")
        if event.version not in (None, (1, 2)):
            raise self._refuse("the file asks for another version of YAML than 1.2", "Leave %YAML out.")

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        self._check_tag(event.tag)
        text = event.value
        self._count(1 + len(text))
        plain = event.implicit[0]
        if self._open and (table := self._open[-1]).wants_key():
            if plain and text == "<<":
                hint = "Write its keys out; an alias may stand for a whole value."
                raise self._refuse("YAML 1.2 merges no tables (<<)", hint)
            if event.anchor is not None:
                raise self._refuse("a key with an anchor")
            if text in table.lines:
                raise self._refuse(f"the key {show(text)} stands twice in one table, first in line {table.lines[text]}")
            table.lines[text] = self.mark.line + 1
            table.key = text
            return
        value = self._resolve(text) if plain else text
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, 1 + len(text))
        self._put(value)

    def _resolve(self, text: str) -> Any:
        """A plain scalar as the core schema has it."""
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text):
            try:
                return int(text, _BASES.get(text[:2], 10))
            except ValueError:  # sys.set_int_max_str_digits
                raise self._refuse("a number of too many digits") from None
        if _FLOAT.fullmatch(text):
            return float(text)
        if _INFINITE.fullmatch(text):
            return float(text.replace(".", ""))
        return text

    def _start(self, value: Any, event: yaml.CollectionStartEvent) -> None:
        self._check_tag(event.tag)
        if self._open and self._open[-1].wants_key():
            raise self._refuse("a table or an array as a key")
        if len(self._open) == DEPTH_MAX:
            raise self._refuse("it is nested too deeply")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        self._open.append(_Open(value, event.anchor, self._characters))
        self._count(1)

    def _end(self) -> None:
        ended = self._open.pop()
        if ended.anchor is not None:
            self._anchors[ended.anchor] = (ended.value, self._characters - ended.before)
        self._put(ended.value)

    def _alias(self, name: str | None) -> None:
        if self._open and self._open[-1].wants_key():
            raise self._refuse(f"an alias (*{name}) as a key")
        if name is None or name not in self._anchors:
            raise self._refuse(f"there is no anchor &{name} before this alias")
        anchored = self._anchors[name]
        if anchored is None:
            raise self._refuse(f"the alias *{name} stands inside its own value")
        value, characters = anchored
        self._count(characters)
        self._put(value)

    def _put(self, value: Any) -> None:
        if not self._open:
            self.content = value
            return
        into = self._open[-1]
        if isinstance(into.value, dict):
            into.value[into.key] = value
            into.key = None
        else:
            into.value.append(value)

    def _count(self, characters: int) -> None:
        self._characters += characters
        if self._characters > CHARACTERS_MAX:
            raise self._refuse(f"with its aliases written out it has more than {CHARACTERS_MAX // 2**20} MiB")

    def _check_tag(self, tag: str | None) -> None:
        if tag is not None:
            shown = show(tag.replace("tag:yaml.org,2002:", "!!")).strip('"')
            raise self._refuse(f"tags aren't taken ({shown})", "For a text, use quotes.")
