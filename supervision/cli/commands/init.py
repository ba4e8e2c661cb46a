"""`greenroom init`: a small project to begin with. Its files lie in `templates`."""

from __future__ import annotations

import re
import shlex
import sys
from importlib import resources
from pathlib import Path

from ..view.output import note
from ..view.target import DEFAULT_TREES, CommandFailed, UsageWrong

__all__ = ("init",)

FILES = ("greenroom.toml", "actors.py", "test_actors.py", "README.md")
FALLBACK_NAME = "app"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,49}")
"""A name stands in addresses, in the name of the database and in shell commands."""

_NEXT = """\
Next:
{cd}  greenroom check        # shows the tree
  greenroom run          # runs it; Ctrl-C stops it
README.md goes on from there. To test it: pip install pytest anyio, then python -m pytest
"""


def init(folder: Path = Path(), /, *, name: str | None = None) -> None:
    """Begin a project: a tree, two actors, their tests and a README, all of it small and running.

    Overwrites nothing: if one of the files is there already, it lists them and ends with 2.

    For example:

        greenroom init

        greenroom init ~/src/shop --name shop

    Parameters
    ----------
    folder
        The folder to write to. It is made if it isn't there.
    name
        The name of the tree: the first segment of all addresses, and the database's name. Default: the folder's name.
    """
    name = _name_for(folder) if name is None else _checked(name)
    if folder.exists() and not folder.is_dir():
        raise UsageWrong(f"{folder} is no folder")
    present = [path for path in dict.fromkeys((*FILES, *map(str, DEFAULT_TREES))) if (folder / path).exists()]
    if present:
        where = "here" if folder == Path() else f"in {folder}"
        raise UsageWrong(f"nothing was written: {where} there is {', '.join(present)}. Name a folder without them")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in FILES:
            with (folder / file).open("x", encoding="utf-8", newline="\n") as stream:
                stream.write(_template(file).replace("$name", name))
            sys.stdout.write(f"{folder / file}\n")
    except OSError as error:
        raise CommandFailed(f"{error.filename or folder} can't be written: {error.strerror or error}") from error
    note(_NEXT.format(cd="" if folder == Path() else f"  cd {shlex.quote(str(folder))}\n").rstrip())


def _template(file: str) -> str:
    templates = resources.files("greenroom.supervision.cli") / "templates"
    return (templates / f"{file}.template").read_text(encoding="utf-8")


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UsageWrong(f'--name "{name}": write up to 50 letters, digits, "-" and "_", beginning with a letter')
    return name


def _name_for(folder: Path) -> str:
    """The name of the folder, without the characters that the name of a tree can't have."""
    found = re.sub(r"[^A-Za-z0-9_-]+", "-", folder.resolve().name).strip("-")[:50]
    return found if _NAME.fullmatch(found) else FALLBACK_NAME
