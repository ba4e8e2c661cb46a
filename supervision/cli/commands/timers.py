"""`greenroom timers`: the timers of actors."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from cyclopts import App

from ....actors.extensions.timers.schedule import Schedule
from ....persistence.store.contract import Store
from ....persistence.store.rows import TimerRow
from ..view.damage import checked
from ..view.output import AsJson, moment, parsed, print_json, print_table
from ..view.paging import Limit, page
from ..view.target import Target, open_desk

__all__ = ("stored_timers", "timer_lines", "timers")

timers = App(name="timers", help="List what actors have scheduled.")

COLUMNS = ("address", "name", "due", "rule", "type", "body")


@timers.command(name="list")
def list_timers(
    address: str | None = None, /, *, target: Target | None = None, limit: Limit = 100, as_json: AsJson = False
) -> None:
    """List the timers of durable actors, by address and name.

    For example:

        greenroom timers list

        greenroom timers list /bank/ledger --json

    Parameters
    ----------
    address
        Only those of this actor.
    """
    asyncio.run(_list(address, target, limit, as_json))


async def _list(address: str | None, target: Target | None, limit: int, as_json: bool) -> None:
    async with open_desk(target) as desk:
        found = await stored_timers(desk.store, address, limit + 1)
    entries = page(found, limit, "timers")
    if as_json:
        print_json(entries)
    else:
        shown = [{**entry, "due": moment(entry["due"])} for entry in entries]
        print_table(shown, COLUMNS, empty="no timers" if address is None else f"{address} has no timers")


async def stored_timers(store: Store, address: str | None, limit: int) -> list[dict[str, Any]]:
    equal: dict[str, Any] = {} if address is None else {"address": address}
    return [_entry(row) for row in await store.scan(TimerRow, limit=limit, **equal)]


def _entry(row: TimerRow) -> dict[str, Any]:
    try:
        rule = str(msgspec.json.decode(row.rule, type=Schedule))
    except (msgspec.MsgspecError, TypeError):  # a damaged row
        rule = str(row.rule)
    entry = {
        "address": row.address,
        "name": row.name,
        "due": row.due,
        "rule": rule,
        "type": row.type,
        "body": parsed(row.body),
    }
    return checked(entry, row)


def timer_lines(entries: list[dict[str, Any]]) -> str:
    """Timers as `actors show` has them: one a line."""
    return "".join(f"{moment(entry['due'])}  {entry['name']}  {entry['rule']}\n" for entry in entries)
