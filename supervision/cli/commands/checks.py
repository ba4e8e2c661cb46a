"""`greenroom check`, `greenroom config show` and `greenroom config schema`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from ...config.load import config_schema, load_config
from ...spec.spec import to_config
from ..view.forest import Branch, branch_of, print_tree
from ..view.output import AsJson, print_json, print_table
from ..view.target import UsageWrong, default_tree
from .comparing import check_against, show_diff

__all__ = ("check", "config")

config = App(name="config", help="Show the values of a config file, and the schema of config files.")


def check(
    tree: Path | None = None,
    /,
    *,
    against: str | None = None,
    diff: str | None = None,
    exit_code: Annotated[bool, Parameter(negative=())] = False,
    as_json: AsJson = False,
) -> int | None:
    """Check a config file: its keys, its classes, their options and arguments. Starts nothing.

    Prints the tree if all is well; else prints every problem and ends with 2. With --against it also reads a store, and
    ends with 1 if this code can't read all of it.

    For example:

        greenroom check bank.toml

        greenroom check bank.toml --against /srv/bank.db

        greenroom check bank.toml --diff

    Parameters
    ----------
    tree
        The config file. Default: greenroom.toml.
    against
        List the stored states and messages that this code can't read. A path or URL; default: the config file's store.
    diff
        List the children that would be new, leave or change, compared with the last run. A path or URL, as --against.
    exit_code
        With --diff: end with 1 if anything would change.
    """
    if against is not None and diff is not None:
        raise UsageWrong("--against and --diff: one at a time")
    if exit_code and diff is None:
        raise UsageWrong("--exit-code goes with --diff")
    found = load_config(default_tree(tree))
    if against is not None:
        return asyncio.run(check_against(found, against, as_json=as_json))
    if diff is not None:
        return asyncio.run(show_diff(found, diff, as_json=as_json, exit_code=exit_code))
    if as_json:
        print_json(to_config(found.tree))
        return None
    root = Branch("", "")
    branch_of(root, found.tree)
    print_tree(root)
    return None


@config.command
def show(tree: Path | None = None, /, *, as_json: AsJson = False) -> None:
    """Show every effective value and its source: environment, file, class or default.

    For example:

        greenroom config show bank.toml

        GREENROOM_NODE__HANG_S=5 greenroom config show bank.toml --json

    Parameters
    ----------
    tree
        The config file. Default: greenroom.toml.
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
    """Print the JSON Schema of config files, for editors.

    For example:

        greenroom config schema > greenroom.schema.json
    """
    print_json(config_schema())
