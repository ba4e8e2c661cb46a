"""`greenroom dead`: lists the messages that no actor could handle, and requeues or discards them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Annotated, Any

from cyclopts import App, Parameter

from ....persistence.store.contract import Store
from ....persistence.store.rows import DeadLetterRow
from ...offline import edit as offline
from ..view.administration import administer_or
from ..view.damage import checked
from ..view.desk import Desk
from ..view.output import AsJson, moment, note, parsed, print_json, print_pairs, print_table
from ..view.paging import Limit, page
from ..view.target import CommandFailed, Target, UsageWrong, open_desk

__all__ = ("dead",)

dead = App(name="dead", help="List, show, requeue and discard dead letters.")

COLUMNS = ("id", "at", "address", "type", "cause", "attempts", "error")
CHUNK = 1000
"""How many letters one request changes."""

Change = Callable[[Store, Sequence[int]], Awaitable[dict[str, Any]]]
All = Annotated[bool, Parameter(name="--all", negative=(), help="All there are (at the address, if one is given).")]
Of = Annotated[str | None, Parameter(help="With --all: of this address only.")]


@dead.command(name="list")
def list_dead(
    address: str | None = None, /, *, target: Target | None = None, limit: Limit = 100, as_json: AsJson = False
) -> None:
    """List the dead letters, newest first.

    For example:

        greenroom dead list

        greenroom dead list /bank/ledger --json

    Parameters
    ----------
    address
        Only those of this actor.
    """
    asyncio.run(_list(address, target, limit, as_json))


async def _list(address: str | None, target: Target | None, limit: int, as_json: bool) -> None:
    equal: dict[str, Any] = {} if address is None else {"address": address}
    async with open_desk(target) as desk:
        rows = await desk.store.scan(DeadLetterRow, limit=limit + 1, descending=True, **equal)
    entries = [_entry(row) for row in page(rows, limit, "dead letters")]
    if as_json:
        print_json(entries)
    else:
        shown = [{**entry, "at": moment(entry["at"]), "error": _why(entry)} for entry in entries]
        print_table(shown, COLUMNS, empty="no dead letters")


@dead.command
def show(letter_id: int, /, *, target: Target | None = None, as_json: AsJson = False) -> None:
    """Show one dead letter, with the traceback or the stack that killed it.

    For example:

        greenroom dead show 1234
    """
    asyncio.run(_show(letter_id, target, as_json))


async def _show(letter_id: int, target: Target | None, as_json: bool) -> None:
    async with open_desk(target) as desk:
        rows = await desk.store.scan(DeadLetterRow, id=letter_id)
    if not rows:
        raise CommandFailed(f"there is no dead letter {letter_id}")
    entry = _entry(rows[0])
    if as_json:
        print_json(entry)
    else:
        print_pairs({**entry, "at": moment(entry["at"])}.items())


@dead.command
def requeue(
    *ids: int, every: All = False, address: Of = None, target: Target | None = None, as_json: AsJson = False
) -> None:
    """Put dead letters back into their mailboxes, as new messages without failed attempts.

    For example:

        greenroom dead requeue 1234 1235

        greenroom dead requeue --all --address /bank/ledger
    """
    asyncio.run(_change("dead.requeue", offline.requeue, ids, every, address, target, as_json))


@dead.command
def discard(
    *ids: int, every: All = False, address: Of = None, target: Target | None = None, as_json: AsJson = False
) -> None:
    """Delete dead letters.

    For example:

        greenroom dead discard 1234

        greenroom dead discard --all
    """
    asyncio.run(_change("dead.discard", offline.discard, ids, every, address, target, as_json))


async def _change(
    command: str,
    change: Change,
    ids: Sequence[int],
    every: bool,
    address: str | None,
    target: Target | None,
    as_json: bool,
) -> None:
    if bool(ids) == every or (address is not None and not every):
        raise UsageWrong("give ids, or --all (which --address can narrow)")
    if every:
        equal: dict[str, Any] = {} if address is None else {"address": address}
        async with open_desk(target) as desk:
            ids = [row.id async for row in desk.store.iterate(DeadLetterRow, **equal)]
    done = 0
    for start in range(0, len(ids), CHUNK):
        some = list(ids[start : start + CHUNK])
        await administer_or(target, partial(_online, command, some), partial(_offline, change, some))
        done += len(set(some))
    what = "requeued" if change is offline.requeue else "discarded"
    if as_json:
        print_json({what: done})
    else:
        note(f"{done} dead letters were {what}")


async def _online(command: str, ids: list[int], desk: Desk) -> Any:
    return await desk.administer(command, "/", ids)


async def _offline(change: Change, ids: list[int], store: Store) -> Any:
    return await change(store, ids)


def _entry(row: DeadLetterRow) -> dict[str, Any]:
    entry: dict[str, Any] = {**row._asdict(), "body": parsed(row.body)}
    del entry["crc"]
    return checked(entry, row)


def _why(entry: dict[str, Any]) -> str:
    text = ": ".join(str(part) for part in (entry["error"], entry["text"]) if part)
    return entry.get("damage") or text.partition("\n")[0]
