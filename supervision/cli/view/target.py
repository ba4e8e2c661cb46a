"""Target: which store a command means.

`--store URL`, else the environment (`GREENROOM_STORE__URL`), else the config file: `--tree FILE`, or greenroom.toml
(.yaml, .yml, .json) in the working directory.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ....persistence.engines.open import open_store
from ....persistence.engines.sqlite.engine import SqliteStore
from ....persistence.errors import GreenroomError
from ....persistence.runtime import Runtime
from ...config.load import load_store
from ...config.sections import store_url_from
from ...errors import ConfigError, Problem
from .desk import Desk

__all__ = ("DEFAULT_TREE", "CommandFailed", "Target", "UsageWrong", "default_tree", "open_desk", "store_path")

DEFAULT_TREE = Path("greenroom.toml")
DEFAULT_TREES = (DEFAULT_TREE, *(DEFAULT_TREE.with_suffix(ending) for ending in (".yaml", ".yml", ".json")))
STORE_VARIABLE = "GREENROOM_STORE__URL"


class CommandFailed(GreenroomError):
    """A command can't do its work. The text is for the user who typed it."""


class UsageWrong(CommandFailed):
    """The command line makes no sense."""


@Parameter(name="*")
@dataclass(frozen=True)
class Target:
    store: Annotated[str | None, Parameter(help="URL of the store, such as sqlite:///bank.db.", group="Store")] = None
    tree: Annotated[
        Path | None,
        Parameter(help="Config file that names the store. Default: greenroom.toml, if there is one.", group="Store"),
    ] = None

    def url(self) -> str:
        """
        Raises:
            ConfigError: nothing says which store, or the file that should is broken.
        """
        given = self.store or os.environ.get(STORE_VARIABLE)
        if given:
            return store_url_from(given, Path.cwd())
        tree = self.tree or _present_tree()
        if tree is None:
            hint = f"Give --store URL, --tree FILE or {STORE_VARIABLE}, or go where an {DEFAULT_TREE} is."
            raise ConfigError("", [Problem(why="nothing says which store is meant", hint=hint)])
        return load_store(tree).url

    def file(self) -> Path | None:
        """The config file, where one is known."""
        if self.tree is not None:
            return self.tree
        return _present_tree() if self.store is None else None


def default_tree(tree: Path | None) -> Path:
    """The config file that was named, or the default one.

    Raises:
        ConfigError: there is neither, or there are several.
    """
    tree = tree or _present_tree()
    if tree is None:
        raise ConfigError("", [Problem(why=f"no config file was named, and there is no {DEFAULT_TREE} here")])
    return tree


def _present_tree() -> Path | None:
    """The default config file of the working directory.

    Raises:
        ConfigError: there are several, and none goes before another.
    """
    present = [path for path in DEFAULT_TREES if path.exists()]
    if len(present) > 1:
        why = f"no config file was named, and there are {' and '.join(map(str, present))} here"
        raise ConfigError("", [Problem(why=why, hint="Name the one that is meant, or keep one of them.")])
    return present[0] if present else None


def store_path(target: Target | None) -> str:
    """The database file of the store that is meant.

    Raises:
        ConfigError, StoreUrlInvalid
        UsageWrong: it is in no file.
    """
    url = (target or Target()).url()
    store = open_store(url, Runtime())
    if not isinstance(store, SqliteStore):
        raise UsageWrong(f"{url} keeps nothing in a file")
    return store.path


@asynccontextmanager
async def open_desk(target: Target | None) -> AsyncIterator[Desk]:
    """The store, open for reading, beside a node or without one.

    Raises:
        ConfigError, StoreError
    """
    runtime = Runtime()
    store = open_store((target or Target()).url(), runtime)
    await store.open_reader()
    desk = Desk(store, runtime)
    try:
        yield desk
    finally:
        await desk.close()
