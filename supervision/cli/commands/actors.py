"""`greenroom actors`: lists actors, and cures those that a restart can't cure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from cyclopts import App

from ....actors.extensions.introspection.stack import StackFrame
from ....persistence.store.contract import Store
from ....persistence.store.rows import ActorRow, DeadLetterRow, MessageRow
from ...offline import edit as offline
from ..view.administration import administer_or
from ..view.damage import checked
from ..view.output import AsJson, moment, note, parsed, print_json, print_pairs, print_table
from ..view.paging import Limit, page
from ..view.stored_children import DAMAGED, stored_child, stored_children
from ..view.target import CommandFailed, Target, open_desk
from .timers import stored_timers, timer_lines
from .trace import trace

__all__ = ("actors",)

actors = App(name="actors", help="List, show, trace, stop, start, suspend, reset and retire actors.")
actors.command(trace)

TIMERS_SHOWN_MAX = 100
"""How many timers `show` has; `greenroom timers list ADDRESS` has them all."""
COLUMNS = ("address", "type", "status", "mailbox", "incarnation", "updated", "state")


@actors.command(name="list")
def list_actors(
    prefix: str = "/", /, *, target: Target | None = None, limit: Limit = 100, as_json: AsJson = False
) -> None:
    """List the actors that are stored, stopped, or live in a running node.

    For example:

        greenroom actors list

        greenroom actors list /bank/accounts --limit 1000 --json

    Parameters
    ----------
    prefix
        An address; the list has it and everything below it.
    """
    asyncio.run(_list(prefix, target, limit, as_json))


async def _list(prefix: str, target: Target | None, limit: int, as_json: bool) -> None:
    async with open_desk(target) as desk:
        found: dict[str, dict[str, Any]] = {}
        for row in await _stored(desk.store, prefix, limit + 1):
            found[row.address] = _entry(row)
        for child in await stored_children(desk.store, prefix):
            if child.halted:
                entry = found.setdefault(child.address, child.facts())
                entry["status"] = DAMAGED if entry["status"] == DAMAGED else child.status
        # Both lists are cut at the limit in the order of their addresses, so all that is within the limit is there.
        for facts in await desk.live(prefix, limit=limit + 1) or ():
            found.setdefault(facts["address"], {"address": facts["address"], "type": facts["type"]}).update(facts)
    entries = page([found[address] for address in sorted(found)], limit, "actors")
    if as_json:
        print_json(entries)
    else:
        shown = [{**entry, "updated": moment(entry.get("updated"))} for entry in entries]
        for entry in shown:
            if entry.get("kind") == "supervisor":
                entry["type"] = "(supervisor)"
        print_table(shown, COLUMNS, empty=f"no actors at or below {prefix}")


async def _stored(store: Store, prefix: str, limit: int) -> list[ActorRow]:
    below = f"{prefix.rstrip('/')}/"
    rows = await store.scan(ActorRow, address=prefix)
    rows += await store.scan(ActorRow, after=(below,), limit=limit)
    return [row for row in rows if row.address == prefix or row.address.startswith(below)]


def _entry(row: ActorRow) -> dict[str, Any]:
    entry = {
        "address": row.address,
        "type": row.type,
        "status": "stored",
        "incarnation": row.incarnation,
        "updated": row.updated,
        "state": parsed(row.state),
    }
    return checked(entry, row, status="damaged")


@actors.command
def show(address: str, /, *, target: Target | None = None, as_json: AsJson = False) -> None:
    """Show one actor: its state, mailbox and timers; which message it handles, since when, and where its handler waits.

    For example:

        greenroom actors show /bank/ledger
    """
    asyncio.run(_show(address, target, as_json))


async def _show(address: str, target: Target | None, as_json: bool) -> None:
    async with open_desk(target) as desk:
        rows = await desk.store.scan(ActorRow, address=address)
        entry: dict[str, Any] = _entry(rows[0]) if rows else {"address": address}
        child = await stored_child(desk.store, address)
        if child is not None:
            entry = {**child.facts(), **entry, **({"status": child.status} if child.halted else {})}
        for facts in await desk.live(address, limit=1, stack=True) or ():
            if facts["address"] == address:
                entry.update(facts)
        entry["messages"] = await desk.store.count(MessageRow, address=address)
        entry["dead_letters"] = await desk.store.count(DeadLetterRow, address=address)
        stored = await stored_timers(desk.store, address, TIMERS_SHOWN_MAX)
        timers = [{key: fact for key, fact in timer.items() if key != "address"} for timer in stored]
        entry["timers"] = timers + entry.get("timers", [])
    if not rows and "status" not in entry and not any(entry[what] for what in ("messages", "dead_letters", "timers")):
        raise CommandFailed(f"nothing is known of {address}. `greenroom actors list` shows what there is")
    if as_json:
        print_json(entry)
        return
    for moments in ("updated", "started", "since"):
        if moments in entry:
            entry[moments] = moment(entry[moments])
    state, stack, timers = entry.pop("state", None), entry.pop("stack", None), entry.pop("timers")
    if rows:
        entry["state"] = state
    if timers:
        entry["timers"] = timer_lines(timers)
    if stack:
        entry["stack"] = "\n".join(str(StackFrame(**frame)) for frame in stack) + "\n"
    print_pairs(entry.items())


@actors.command
def reset(address: str, /, *, target: Target | None = None, as_json: AsJson = False) -> None:
    """Forget an actor's state. Its mailbox stays. This cures an actor whose on_start always fails.

    For example:

        greenroom actors reset /bank/ledger
    """
    asyncio.run(_change("actors.reset", offline.reset, address, target, as_json))


@actors.command
def retire(address: str, /, *, target: Target | None = None, as_json: AsJson = False) -> None:
    """Delete an actor's state and its mailbox. An actor under a template comes back afresh with its next message.

    For example:

        greenroom actors retire /bank/accounts/alice
    """
    asyncio.run(_change("actors.retire", offline.retire, address, target, as_json))


@actors.command
def suspend(address: str, /, *, target: Target | None = None, as_json: AsJson = False) -> None:
    """Suspend an actor: it handles nothing until it is resumed, and its messages wait.

    It is suspended once its running turn, and the messages that wait already, are done. A restart of the actor, or of
    the node, resumes it. Needs a running node.

    For example:

        greenroom actors suspend /bank/ledger
    """
    asyncio.run(_order("actors.suspend", address, target, as_json))


@actors.command
def resume(address: str, /, *, target: Target | None = None, as_json: AsJson = False) -> None:
    """Let a suspended actor go on. Needs a running node.

    For example:

        greenroom actors resume /bank/ledger
    """
    asyncio.run(_order("actors.resume", address, target, as_json))


async def _order(command: str, address: str, target: Target | None, as_json: bool) -> None:
    """Have a running node do what only a running node can do."""
    async with open_desk(target) as desk:
        if desk.node() is None:
            raise CommandFailed("no node runs on this store, so no actor does: start one with `greenroom run`")
        result = await desk.administer(command, address)
    if as_json:
        print_json(result)
    elif result.get("suspended"):
        note(f"{address} is suspended; `greenroom actors resume {address}` lets it go on")
    else:
        note(f"{address} goes on" if result["resumed"] else f"{address} isn't suspended")


async def _change(
    command: str,
    change: Callable[[Store, str], Awaitable[dict[str, Any]]],
    address: str,
    target: Target | None,
    as_json: bool,
) -> None:
    result = await administer_or(
        target, lambda desk: desk.administer(command, address), lambda store: change(store, address)
    )
    if as_json:
        print_json(result)
    elif "messages" in result:
        count = result["messages"]
        note(f"{address} was retired, with {count} message{'' if count == 1 else 's'}")
    else:
        note(f"{address} was reset")
