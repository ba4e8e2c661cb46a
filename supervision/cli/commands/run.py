"""`greenroom run`: a node, and the small parent that starts it again when it dies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ...config.load import load_node
from ...config.sections import NodeSettings
from ...errors import ConfigError
from ..process.log import set_up_log
from ..process.orders import Orders, Verbosity
from ..process.parent import Parent
from ..view.target import default_tree

__all__ = ("run",)


def run(
    tree: Path | None = None,
    /,
    *,
    store: str | None = None,
    until_idle: Annotated[bool, Parameter(negative=())] = False,
    hang_s: float | None = None,
    stop_timeout_s: float | None = None,
    respawn_intensity: int | None = None,
    respawn_period_s: float | None = None,
    loop: str | None = None,
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"), negative=())] = False,
    verbose: Annotated[bool, Parameter(name=("--verbose", "-v"), negative=())] = False,
) -> int:
    """Run a tree of actors.

    The node is a process of its own. When it dies (a kill, a segfault, a handler that blocks the loop for hang_s), it
    is started again and goes on from its store, at most respawn_intensity times within respawn_period_s. SIGTERM or
    Ctrl-C stops it in order, a second one kills it.

    For example:

        greenroom run bank.toml

        greenroom run bank.toml --store sqlite:////srv/bank.db --hang-s 10

        greenroom run batch.toml --until-idle

    Parameters
    ----------
    tree
        The config file. Default: greenroom.toml.
    store
        URL of the store, in place of the config file's.
    until_idle
        End with 0 when nothing is left to do: nothing runs, waits, or backs off, and the inbox is empty. Delayed
        messages don't count.
    hang_s
        Seconds for which the event loop may stand still before the watchdog ends the node.
    stop_timeout_s
        Seconds for the whole tree to stop in.
    respawn_intensity
        How many times it is started again within the period; with one more it gives up, with exit code 70.
    respawn_period_s
        Seconds of that period.
    loop
        The event loop: asyncio, or uvloop (pip install 'greenroom[uvloop]').
    quiet
        Log errors only.
    verbose
        Log starts, passivations and tracebacks, too.
    """
    verbosity: Verbosity = "quiet" if quiet else "verbose" if verbose else "normal"
    set_up_log(verbosity)
    path = default_tree(tree)
    flags: dict[str, Any] = {
        "store.url": store,
        "node.hang_s": hang_s,
        "node.stop_timeout_s": stop_timeout_s,
        "node.respawn_intensity": respawn_intensity,
        "node.respawn_period_s": respawn_period_s,
        "node.loop": loop,
    }
    overrides = {key: value for key, value in flags.items() if value is not None}
    try:
        settings = load_node(path, overrides=overrides)
    except ConfigError:
        settings = NodeSettings()  # the node will say everything that is wrong
    orders = Orders(tree=str(path), overrides=overrides, until_idle=until_idle, verbosity=verbosity)
    return Parent(orders.command(), settings).run()
