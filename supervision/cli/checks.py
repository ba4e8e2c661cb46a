"""`understudy check`, `understudy config show` and `understudy config schema`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cyclopts import App

from ..config import config_schema, load_config
from ..spec import to_config
from .forest import Branch, branch_of, print_tree
from .output import AsJson, print_json, print_table
from .target import default_tree

__all__ = ("check", "config")

config = App(name="config", help="What a config file says in the end, and what it may say.")


def check(tree: Path | None = None, /, *, as_json: AsJson = False) -> None:
    """Check a config file: its keys, its classes, their options and arguments. Starts nothing.

    Prints the tree if all is well; else every problem, and ends with 2.

    For example:

        understudy check bank.toml

    Parameters
    ----------
    tree
        The config file. Default: understudy.toml.
    """
    found = load_config(default_tree(tree))
    if as_json:
        print_json(to_config(found.tree))
        return
    root = Branch("", "")
    branch_of(root, found.tree)
    print_tree(root)


@config.command
def show(tree: Path | None = None, /, *, as_json: AsJson = False) -> None:
    """Every value that holds, and where it comes from: environment, file, class or default.

    For example:

        understudy config show bank.toml

        UNDERSTUDY_NODE__HANG_S=5 understudy config show bank.toml --json

    Parameters
    ----------
    tree
        The config file. Default: understudy.toml.
    """
    rows: list[dict[str, Any]] = [
        {"key": setting.key, "value": setting.value, "origin": setting.origin}
        for setting in load_config(default_tree(tree)).effective()
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, ("key", "value", "origin"), empty="nothing is set")


@config.command
def schema() -> None:
    """The JSON Schema of config files, for editors.

    For example:

        understudy config schema > understudy.schema.json
    """
    print_json(config_schema())
