"""`greenroom incidents`: which actors exited, why, and what their supervisors did about it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from cyclopts import App

from ....persistence.store.contract import Store
from ....persistence.store.rows import IncidentRow
from ..view.damage import checked
from ..view.output import AsJson, moment, print_json, print_pairs, print_table
from ..view.paging import Limit, page
from ..view.target import CommandFailed, Target, open_desk

__all__ = ("incidents",)

incidents = App(name="incidents", help="List and show exits of actors, and what their supervisors did.")

COLUMNS = ("id", "at", "supervisor", "child", "why", "action")
CHUNK = 200
"""How many rows are read at once: each may have a traceback of 8 KiB."""


@incidents.command(name="list")
def list_incidents(
    address: str | None = None, /, *, target: Target | None = None, limit: Limit = 100, as_json: AsJson = False
) -> None:
    """List the incidents, newest first: which actor exited, why, and what its supervisor did about it.

    For example:

        greenroom incidents list

        greenroom incidents list /bank/accounts --limit 20 --json

    Parameters
    ----------
    address
        Only those of this actor, or of everything below this supervisor.
    """
    asyncio.run(_list(address, target, limit, as_json))


async def _list(address: str | None, target: Target | None, limit: int, as_json: bool) -> None:
    async with open_desk(target) as desk:
        rows = await _newest(desk.store, address, limit + 1)
    entries = [_entry(row) for row in page(rows, limit, "incidents")]
    if as_json:
        print_json(entries)
    else:
        shown = [
            {**entry, "at": moment(entry["at"]), "child": _child(entry), "why": _why(entry).partition("\n")[0]}
            for entry in entries
        ]
        print_table(shown, COLUMNS, empty="no incidents" + (f" at or below {address}" if address else ""))


async def _newest(store: Store, address: str | None, limit: int) -> Sequence[IncidentRow]:
    if address is None:
        return await store.scan(IncidentRow, limit=limit, descending=True)
    found: list[IncidentRow] = []
    below = f"{address.rstrip('/')}/"
    after: tuple[int] | None = None
    while rows := await store.scan(IncidentRow, after=after, limit=CHUNK, descending=True):
        for row in rows:
            if row.address == address or str(row.address).startswith(below):
                found.append(row)
                if len(found) == limit:
                    return found
        after = (rows[-1].id,)
    return found


@incidents.command
def show(incident_id: int, /, *, target: Target | None = None, as_json: AsJson = False) -> None:
    """Show one incident, with its traceback.

    For example:

        greenroom incidents show 1234
    """
    asyncio.run(_show(incident_id, target, as_json))


async def _show(incident_id: int, target: Target | None, as_json: bool) -> None:
    async with open_desk(target) as desk:
        rows = await desk.store.scan(IncidentRow, id=incident_id)
    if not rows:
        raise CommandFailed(f"there is no incident {incident_id}: the newest are kept (incidents_kept in [node])")
    entry = _entry(rows[0])
    if as_json:
        print_json(entry)
    else:
        print_pairs({**entry, "at": moment(entry["at"])}.items())


def _entry(row: IncidentRow) -> dict[str, Any]:
    entry: dict[str, Any] = {**row._asdict(), "charged": bool(row.charged)}
    del entry["crc"]
    entry["traceback"] = entry.pop("traceback")  # the longest comes last
    return checked(entry, row)


def _child(entry: dict[str, Any]) -> str:
    """The child's id: the address of its supervisor stands beside it."""
    return str(entry["address"]).removeprefix(f"{entry['supervisor']}/")


def _why(entry: dict[str, Any]) -> str:
    if "damage" in entry:
        return str(entry["damage"])
    return ": ".join(part for part in (entry["error"] or entry["kind"], entry["text"]) if part)
