"""`greenroom actors stop|start|restart|delete`: requests to a supervisor about its children.

The supervisors of a running node carry them out. If no node runs, the command changes the stored records
of the children.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from cyclopts import Parameter

from ....persistence.store.contract import Store
from ...offline import edit as offline
from ..view.administration import administer_or
from ..view.desk import ADMIN_TIMEOUT_S, Desk
from ..view.output import AsJson, note, print_json
from ..view.target import CommandFailed, Target, UsageWrong

__all__ = ("delete", "restart", "start", "stop")

TimeoutS = Annotated[
    float | None, Parameter(help="Seconds to wait. Default: what the shutdown times below it allow, and ten more.")
]


def stop(address: str, /, *, target: Target | None = None, timeout_s: TimeoutS = None, as_json: AsJson = False) -> None:
    """Stop an actor, or a supervisor with all below it. It stays stopped, in the next life of the node too.

    State and mail stay. A temporary child, or a child of a dynamic supervisor, is forgotten. A child that is made from
    a template leaves memory, and its next message brings it back. If no node runs, it won't start with the next one.

    For example:

        greenroom actors stop /bank/audit
    """
    asyncio.run(_order("actors.stop", offline.stop, address, target, timeout_s, as_json))


def start(
    address: str, /, *, target: Target | None = None, timeout_s: TimeoutS = None, as_json: AsJson = False
) -> None:
    """Start an actor, or a supervisor, that is stopped, has ended, or is in the tree no more.

    If no node runs, it starts with the next one.

    For example:

        greenroom actors start /bank/audit
    """
    asyncio.run(_order("actors.start", offline.start, address, target, timeout_s, as_json))


def restart(
    address: str, /, *, target: Target | None = None, timeout_s: TimeoutS = None, as_json: AsJson = False
) -> None:
    """Stop an actor, or a supervisor with all below it, and start it again; state and mail stay. Needs a running node.

    An actor that waits for its restart is started at once, with the siblings that wait to start with it. An actor that
    is made from a template starts again if mail waits for it.

    For example:

        greenroom actors restart /bank/audit
    """
    asyncio.run(_order("actors.restart", None, address, target, timeout_s, as_json))


def delete(
    address: str, /, *, target: Target | None = None, timeout_s: TimeoutS = None, as_json: AsJson = False
) -> None:
    """Forget a child that is stopped, and everything below it. The next life of the node doesn't have it, either.

    State and mail stay in the store (`actors retire` deletes those). A child that the config file names comes back.

    For example:

        greenroom actors delete /bank/audit
    """
    asyncio.run(_order("actors.delete", offline.delete, address, target, timeout_s, as_json))


async def _order(
    command: str,
    without_node: Callable[[Store, str], Awaitable[dict[str, Any]]] | None,
    address: str,
    target: Target | None,
    timeout_s: float | None,
    as_json: bool,
) -> None:
    if timeout_s is not None and not timeout_s > 0:
        raise UsageWrong(f"--timeout-s {timeout_s:g}: it is above 0")

    async def beside_node(desk: Desk) -> Any:
        wait_s = timeout_s
        if wait_s is None:
            wait_s = ADMIN_TIMEOUT_S + await desk.administer("actors.patience", address, command)
        return await desk.administer(command, address, timeout_s=wait_s)

    async def on_store(store: Store) -> Any:
        if without_node is None:
            raise CommandFailed(f"no node runs on this store, so {address} doesn't: `greenroom run` starts it")
        return await without_node(store, address)

    result = await administer_or(target, beside_node, on_store)
    if as_json:
        print_json(result)
    else:
        note(_in_words(command.removeprefix("actors."), address, result))


def _in_words(command: str, address: str, result: dict[str, Any]) -> str:
    match command:
        case "stop" if result.get("on_demand"):
            was = "has left memory" if result["stopped"] else "isn't in memory"
            return f"{address} {was}: it comes with its next message"
        case "stop" if not result["kept"]:
            return f"{address} was stopped, and is forgotten; its state and mail stay in the store"
        case "stop":
            also = f"; so are {', '.join(result['with'])}, which waited to start with it" if result.get("with") else ""
            return f"{address} is stopped, until `greenroom actors start {address}`{also}"
        case "start" if result.get("next"):
            return f"{address} starts with the next node"
        case "start" | "restart" if result.get("on_demand"):
            return f"{address} {'starts: mail waits' if result[f'{command}ed'] else 'comes with its next message'}"
        case "start" | "restart":
            also = f", with {', '.join(result['with'])}, which waited for it" if result.get("with") else ""
            done = f"was {command}ed" if result[f"{command}ed"] else "doesn't want to run (Ignore)"
            return f"{address} {done}{also}"
        case _:
            back = "; the tree names it, so the next start of the node has it again" if result["planned"] else ""
            return f"{address} is forgotten{back}. Its state and mail stay in the store"
