"""The programs that tests start as processes: their paths, and an environment in which they can import the helpers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ("environment", "program")

SUPPORT = Path(__file__).parents[1]


def folders() -> list[Path]:
    """The folders that hold helpers. One with an `__init__.py` is a package: it is imported from the folder above."""
    found = (folder for folder in (SUPPORT, *SUPPORT.rglob("*")) if folder.is_dir() and folder.name != "__pycache__")
    return sorted(folder for folder in found if not (folder / "__init__.py").exists())


def environment(base: Mapping[str, str] = os.environ, **changes: str) -> dict[str, str]:
    """This environment, or the one of this process, so that every helper can be imported by name."""
    paths = [*map(str, folders()), *filter(None, [base.get("PYTHONPATH")])]
    return {**base, "PYTHONPATH": os.pathsep.join(paths), **changes}


def program(name: str) -> str:
    """The path of the helper with this file name."""
    (found,) = SUPPORT.rglob(name)
    return str(found)
