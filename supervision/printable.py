"""Printable: any text as a terminal may show it.

Bodies of messages, texts of exceptions and damaged rows may hold anything. A control character in them would move the
cursor, clear the screen or change the colours of the reader's terminal, and half a surrogate pair can't be written at
all. They become escapes, as Python writes them: `\\x1b`, `\\u202e`.
"""

from __future__ import annotations

import re

__all__ = ("json_safe", "printable")

_UNSAFE = "\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
"""DEL and the C1 controls, of which 0x9b begins a control sequence as ESC does; marks that turn the direction of
writing round, or break lines; surrogates."""
_TEXT = re.compile(f"[\x00-\x08\x0b-\x1f{_UNSAFE}]")
_JSON = re.compile(f"[{_UNSAFE}]")
_BEYOND_ASCII = re.compile("[^\x00-\x7f]")


def printable(text: str) -> str:
    """The text with control characters as escapes. New lines and tabs stay."""
    return text if text.isprintable() else _TEXT.sub(_escape, text)


def json_safe(text: str, encoding: str | None) -> str:
    """JSON that means the same, without control characters, and with escapes for what an encoding doesn't have.

    Args:
        encoding: that of the stream; None: UTF-8.
    """
    text = _JSON.sub(_json_escape, text)
    try:
        text.encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return _BEYOND_ASCII.sub(_json_escape, text)
    return text


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _json_escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))
