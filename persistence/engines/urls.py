"""Store URLs: which engine one asks for, where a SQLite file lies, and how a path is written into a URL.

`sqlite:///bank.db` is relative to the working directory, `sqlite:////srv/bank.db` absolute, `memory://` keeps nothing.
In the path `%`, `?` and `#` are written `%25`, `%3F` and `%23`, because a `?` begins the options. Every way into a
store comes by here: `start`, `Client`, config files, flags and the commands of `greenroom db`.
"""

from __future__ import annotations

import os
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote

from ..errors import StoreUrlInvalid

__all__ = ("Location", "check_url", "file_uri", "is_memory", "locate", "sqlite_url")

SYNCHRONOUS = ("NORMAL", "FULL", "EXTRA")
_OPTIONS = "synchronous=normal, full or extra, and lost_commits=refuse or accept"


class Location(NamedTuple):
    path: str
    """Absolute, links resolved: two ways to one file give one path."""
    synchronous: str | None
    """The level that the URL asks for (`?synchronous=normal`)."""
    accept_loss: bool = False
    """Whether to go on with a database that lacks commits (`?lost_commits=accept`)."""


def check_url(url: str) -> None:
    """Check the URL's shape. Nothing is opened or made.

    Raises:
        StoreUrlInvalid: no engine of this release understands it.
    """
    scheme, colon, _ = url.partition(":")
    if scheme == "sqlite":
        locate(url)
    elif scheme == "memory":
        if not is_memory(url):
            raise StoreUrlInvalid(url, "a store in memory has neither a name nor options: it is memory://")
    elif scheme.startswith("postgres"):
        raise StoreUrlInvalid(url, "this release has no engine for PostgreSQL")
    elif not colon:
        raise StoreUrlInvalid(url, _without_scheme(url))
    elif not scheme.replace("+", "").isalnum():
        raise StoreUrlInvalid(url, "it has no scheme")
    else:
        raise StoreUrlInvalid(url, f"there is no engine {scheme!r}")


def _without_scheme(url: str) -> str:
    return f"it has no scheme. As a URL it is {sqlite_url(url)}" if url.strip() else "it is empty"


def is_memory(url: str) -> bool:
    return url in ("memory://", "memory:")


def locate(url: str) -> Location:
    """The file of a SQLite store, and the options.

    Raises:
        StoreUrlInvalid: no path, one that can't be a file's, an in-memory database, or an unknown option.
    """
    scheme, separator, rest = url.partition(":///")
    if scheme != "sqlite" or not separator:
        raise StoreUrlInvalid(url, "a SQLite URL has three slashes, and a fourth before an absolute path")
    written, question, query = rest.partition("?")
    path = unquote(written, errors="surrogateescape")
    if not path or path.startswith(":memory:"):
        raise StoreUrlInvalid(url, "it names no file, and a database in SQLite's memory would outlive nothing")
    if "\0" in path:
        raise StoreUrlInvalid(url, "no path has a zero byte")
    if path.endswith("/") or os.path.isdir(path):
        raise StoreUrlInvalid(url, "it names a folder, and a store is a file")
    synchronous, accept_loss = _options(url, query) if question else (None, False)
    return Location(_real(path), synchronous, accept_loss)


def _options(url: str, query: str) -> tuple[str | None, bool]:
    synchronous: str | None = None
    accept_loss = False
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name == "synchronous" and value.upper() in SYNCHRONOUS:
            synchronous = value.upper()
        elif name == "lost_commits" and value in ("accept", "refuse"):
            accept_loss = value == "accept"
        else:
            known = name in ("synchronous", "lost_commits")
            wrong = f"the value of {name} is unknown" if known else f"there is no option {name!r}"
            raise StoreUrlInvalid(url, f"{wrong}; there is {_OPTIONS}. A ? that belongs to the path is written %3F")
    return synchronous, accept_loss


def _real(path: str) -> str:
    real = os.path.realpath(path)
    return real[1:] if real.startswith("//") else real  # POSIX keeps two slashes, which a URI would take for a host


def sqlite_url(path: str | os.PathLike[str], query: str = "") -> str:
    """The URL of a SQLite store at a path, relative or absolute."""
    written = os.fspath(path).replace("%", "%25").replace("?", "%3F").replace("#", "%23")
    return f"sqlite:///{written}{'?' if query else ''}{query}"


def file_uri(path: str, options: str) -> str:
    """The URI under which SQLite opens a file: every byte of the path is itself. SQLite: uri.html"""
    quoted = quote(os.fsencode(path))
    return f"file:{'//' if path.startswith('/') else ''}{quoted}?{options}"
