"""State versions: the shape of a state that a row holds.

    class Account(Actor[Book]):
        state_version = 2

        @classmethod
        def upgrade(cls, state: Any, version: int) -> Any:
            return {"cents": state["balance"] * 100}

The version stands in the row's type, after the class's stored name: `bank:Account` is version 1, `bank:Account@2` the
next. So rows that are older than versions are version 1, and their checksums hold.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

from ..messages.types import shown
from .handlers import MARK

__all__ = ("check_name", "check_upgrade", "join_type", "split_type", "state_version")

_VERSIONED = re.compile(r"(.+)@([1-9][0-9]{0,17})", re.DOTALL)
_AMBIGUOUS = re.compile(r".*@[0-9]+", re.DOTALL)

EXAMPLE = "`@classmethod` and `def upgrade(cls, state, version)`"


def join_type(name: str, version: int) -> str:
    """The type of a class's state in rows: the class's stored name, and the version from 2 on."""
    return name if version == 1 else f"{name}@{version}"


def split_type(stored: str) -> tuple[str, int]:
    """The class's stored name, and the version of the state. Only digits after the last `@` are a version."""
    found = _VERSIONED.fullmatch(stored)
    return (found[1], int(found[2])) if found is not None else (stored, 1)


def check_name(cls: type, name: str) -> None:
    """
    Raises:
        TypeError: the stored name ends like a version.
    """
    if _AMBIGUOUS.fullmatch(name):
        raise TypeError(
            f"{cls.__qualname__} would be stored as {name!r}, and `@` with digits at the end is the state's version. "
            f'Write another name, such as name = "{name.replace("@", "-")}"'
        )


def state_version(cls: type) -> int:
    """The version of the states that the class writes: its own, else its base class's, else 1.

    Raises:
        TypeError: it is no whole number of at least 1.
    """
    version: Any = getattr(cls, "state_version", 1)
    if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version < 10**18:
        found = shown(type(version)) if callable(version) or hasattr(version, "__get__") else repr(version)
        raise TypeError(
            f"{cls.__qualname__}.state_version is {found}: it is the version of the state's shape. Write a whole "
            "number of at least 1, such as state_version = 2, or give your own attribute another name"
        )
    return version


def check_upgrade(cls: type, value: Any) -> None:
    """
    Raises:
        TypeError: `upgrade` in the class body can't be called as the runtime does.
    """
    if getattr(getattr(value, "__func__", value), "__dict__", {}).get(MARK) is not None:
        raise TypeError(
            f"{cls.__qualname__}.upgrade has @handler, but it is what brings old states to the class's new shape. "
            "Give the handler another name"
        )
    if not isinstance(value, classmethod):
        raise TypeError(
            f"{cls.__qualname__}.upgrade is {shown(type(value))}, and it is called before there is an instance. "
            f"Write {EXAMPLE}"
        )
    function = value.__func__
    try:
        inspect.signature(function).bind("cls", "state", "version")
    except TypeError:
        raise TypeError(
            f"{cls.__qualname__}.upgrade{inspect.signature(function)} doesn't take (cls, state, version). "
            f"Write {EXAMPLE}"
        ) from None
    inner = inspect.unwrap(function)
    if inspect.iscoroutinefunction(inner) or inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise TypeError(
            f"{cls.__qualname__}.upgrade is async or a generator, but is called without await. Write {EXAMPLE}"
        )
