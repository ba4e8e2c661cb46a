"""Output: data on stdout, as a table for people or as JSON for programs; everything else on stderr."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...printable import json_safe, printable

__all__ = (
    "AsJson",
    "cell",
    "console",
    "json_text",
    "moment",
    "note",
    "parsed",
    "print_json",
    "print_pairs",
    "print_table",
    "size",
    "text_of",
    "visible",
    "write_anything",
)

AsJson = Annotated[bool, Parameter(name="--json", negative=(), help="One JSON value on stdout.")]

PIPED_WIDTH = 250
"""How many columns a table has if stdout is no terminal."""
BODY_MAX = 120


def console() -> Console:
    """A console for stdout. It doesn't cut lines that go into a pipe to 80 columns."""
    return Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, highlight=False, markup=False)


def write_anything() -> None:
    """Let a letter that stdout's encoding lacks become an escape, where Python would raise."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def visible(text: str, style: str = "") -> Text:
    """A text for a table or a tree, without control characters."""
    return Text(printable(text), style)


def json_text(data: Any, indent: int | None = None) -> str:
    """JSON for stdout: in one line, or indented. Values that JSON doesn't have (bytes in a damaged row) become texts,
    and letters that stdout's encoding doesn't have become JSON's escapes."""
    return json_safe(_encoded(data, indent), sys.stdout.encoding)


def _encoded(data: Any, indent: int | None) -> str:
    try:
        encoded = msgspec.json.encode(data, enc_hook=str)
        return (encoded if indent is None else msgspec.json.format(encoded, indent=indent)).decode()
    except UnicodeEncodeError:  # half a surrogate pair
        return json.dumps(data, default=str, indent=indent if indent and indent > 0 else None)


def print_json(data: Any) -> None:
    """Print one JSON value, indented."""
    sys.stdout.write(f"{json_text(data, 2)}\n")


def print_table(rows: Sequence[dict[str, Any]], columns: Sequence[str], *, empty: str) -> None:
    """Print the named entries of each row as a table. Without rows, print `empty` to stderr."""
    if not rows:
        note(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        numbers = all(isinstance(row.get(name), int | float | None) for row in rows)
        long = name in ("body", "error", "state")
        table.add_column(
            name.replace("_", " "),
            justify="right" if numbers and any(row.get(name) is not None for row in rows) else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=None if not long else 1,
        )
    for row in rows:
        table.add_row(*(visible(cell(row.get(name))) for name in columns))
    console().print(table)


def print_pairs(pairs: Iterable[tuple[str, Any]]) -> None:
    """Print names and values, one a line; long values below their name."""
    out = console()
    for name, value in pairs:
        text = printable(text_of(value))
        if "\n" in text:
            out.print(Text(f"{name}:", style="bold"))
            out.print(Text("\n".join(f"  {line}" for line in text.splitlines())), soft_wrap=True)
        else:
            out.print(Text.assemble((f"{name}: ", "bold"), text), soft_wrap=True)


def note(text: str) -> None:
    """Print a remark for the user to stderr."""
    sys.stderr.write(f"{printable(text)}\n")


def moment(at: float | None) -> str | None:
    """Epoch seconds as local time."""
    if at is None:
        return None
    try:
        return dt.datetime.fromtimestamp(at).isoformat(" ", "seconds")
    except (ValueError, OverflowError, OSError, TypeError):  # a damaged row
        return str(at)


def size(amount: int) -> str:
    """A number of bytes as people read it."""
    number, unit = float(amount), "bytes"
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if number < 1024 or unit == "TiB":
            break
        number /= 1024
    return f"{amount} bytes" if unit == "bytes" else f"{number:.1f} {unit}"


def parsed(text: str) -> Any:
    """Stored JSON as data; a text that isn't JSON as it is."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, TypeError, UnicodeEncodeError):
        return text


def cell(value: Any) -> str:
    """A value in one line of a table."""
    text = text_of(value, indent=0)
    line = text.replace("\n", " ")
    return line if len(line) <= BODY_MAX else f"{line[: BODY_MAX - 1]}…"


def text_of(value: Any, *, indent: int = 2) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict | list):
        return _encoded(value, indent or -1)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
