"""`greenroom db`: the store itself."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from cyclopts import App, Parameter

from ....persistence.maintenance.acceptance import accept_loss as accept_lost
from ....persistence.maintenance.vacuum import migrate as migrate_store
from ....persistence.maintenance.vacuum import vacuum as vacuum_store
from ....persistence.runtime import Runtime
from ..view.bars import bar, stoppable
from ..view.output import AsJson, moment, note, print_json, print_pairs, size
from ..view.target import Target, open_desk, store_path
from . import backups, verifying

__all__ = ("db",)

db = App(name="db", help="The store: its state, backups, damage, size and schema.")
db.command(backups.backup)
db.command(backups.restore)
db.command(verifying.verify)


@db.command
def status(*, target: Target | None = None, as_json: AsJson = False) -> None:
    """Show versions, sizes, numbers of rows, and the node that runs on the store.

    `wal_reset_bug` says whether this SQLite has the bug of that name (SQLite: wal.html), which greenroom works around.
    `commits_lost` and `submissions_lost` count what the store had taken and lacks (docs/operations.md, "Lost commits").
    `wal_readers` are the processes whose read transactions keep the WAL from beginning anew; that may soon be over.

    For example:

        greenroom db status --store sqlite:///bank.db
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


@db.command
def accept_loss(*, target: Target | None = None, as_json: AsJson = False) -> None:
    """Let the node go on without the commits that its store has lost.

    A node doesn't start on a store that lacks commits which it had taken: the WAL was damaged, cut or deleted, or an
    older copy of the database lies in its place. If you have the right files, put them back. This command is for when
    you don't. The rest of the WAL is kept beside the store.

    For example:

        greenroom db accept-loss
    """
    path = store_path(target)
    loss = accept_lost(path)
    if as_json:
        print_json(
            {
                "commits": 0 if loss is None else loss.commits,
                "submissions": 0 if loss is None else loss.submissions,
            }
        )
    elif loss is None:
        note(f"{path} isn't known to lack anything: there is nothing to do")
    else:
        note(f"{path}: the node goes on without the last {loss} that the store had taken")


@db.command
def vacuum(*, target: Target | None = None, as_json: AsJson = False) -> None:
    """Make the file as small as its content. No node may run; a running node uses the free pages again by itself.

    Meanwhile the disk needs free space of up to twice the file's size.

    For example:

        greenroom db vacuum
    """
    with stoppable():
        done = vacuum_store(store_path(target))
    if as_json:
        print_json({"bytes_before": done.before, "bytes_after": done.after})
    else:
        note(f"{size(done.before)} before, {size(done.after)} after")


@db.command
def migrate(
    *,
    backup: Annotated[bool, Parameter(negative="--no-backup")] = True,
    target: Target | None = None,
    as_json: AsJson = False,
) -> None:
    """Give the store the schema of this release now. The next start of a node would do the same.

    For example:

        greenroom db migrate

    Parameters
    ----------
    backup
        Copy the store first, to a file beside it.
    """
    path = store_path(target)
    with stoppable(), bar("backup") as (copying,):
        done = migrate_store(path, Runtime(), backup=backup, progress=copying)
    if as_json:
        print_json({"schema_version_before": done.found, "schema_version": done.now, "backup": done.backup})
    elif done.found == done.now:
        note(f"{path} has schema version {done.now} already: there is nothing to do")
    else:
        kept = f"; {done.backup} is as it was before" if done.backup else ""
        note(f"{path} was migrated from schema version {done.found} to {done.now}{kept}")
