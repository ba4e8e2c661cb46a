"""`understudy db`: the store itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, cast

from cyclopts import App

from ...persistence.errors import RecordCorrupt, StoreCorrupt
from ...persistence.record import ROWS, Table, verify
from .output import AsJson, moment, note, print_json, print_pairs, print_table
from .target import Target, open_desk

__all__ = ("db",)

db = App(name="db", help="The store: its state, and whether it is damaged.")

DAMAGE_SHOWN_MAX = 1000


@db.command
def status(*, target: Target | None = None, as_json: AsJson = False) -> None:
    """Versions, sizes, rows, and who runs on it.

    `wal_reset_bug` says whether this SQLite has the bug of that name (SQLite: wal.html), which understudy works around.

    For example:

        understudy db status --store sqlite:///bank.db
    """
    asyncio.run(_status(target, as_json))


async def _status(target: Target | None, as_json: bool) -> None:
    async with open_desk(target) as desk:
        found: dict[str, Any] = {
            "running": desk.node() is not None,
            "node_pid": desk.node(),
            **await desk.store.status(),
        }
    if as_json:
        print_json(found)
    else:
        found["owner_started"] = moment(found.get("owner_started"))
        print_pairs(found.items())


@db.command(name="verify")
def verify_rows(*, target: Target | None = None, as_json: AsJson = False) -> None:
    """Read every row and check its checksum. Ends with 3 if one is damaged.

    Beside a running node it sees what is committed.

    For example:

        understudy db verify
    """
    asyncio.run(_verify(target, as_json))


async def _verify(target: Target | None, as_json: bool) -> None:
    damaged: list[dict[str, Any]] = []
    checked = count = 0
    async with open_desk(target) as desk:
        for kind, table in cast(Iterable[tuple[Any, Table]], ROWS.items()):
            async for row in desk.store.iterate(kind):
                checked += 1
                try:
                    verify(row)
                except RecordCorrupt as error:
                    count += 1
                    if len(damaged) < DAMAGE_SHOWN_MAX:
                        key = [str(part) for part in row[: table.key]]
                        damaged.append({"table": table.name, "key": key, "why": error.why})
    if as_json:
        print_json({"rows": checked, "damaged": damaged})
    elif damaged:
        print_table([{**row, "key": ", ".join(row["key"])} for row in damaged], ("table", "key", "why"), empty="")
    else:
        note(f"{checked} rows, none is damaged")
    if count:
        raise StoreCorrupt("the store", f"{count} of {checked} rows are damaged")
