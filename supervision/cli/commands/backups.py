"""`greenroom db backup` and `greenroom db restore`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ....persistence.errors import FileInTheWay, RowsDamaged
from ....persistence.maintenance.backup import back_up
from ....persistence.maintenance.restore import restore as restore_store
from ....persistence.runtime import Runtime
from ..view.bars import bar, stoppable
from ..view.output import AsJson, note, print_json, size
from ..view.target import Target, UsageWrong, store_path

__all__ = ("backup", "restore")

Force = Annotated[bool, Parameter(negative=())]


def backup(
    destination: Path, /, *, force: Force = False, target: Target | None = None, as_json: AsJson = False
) -> None:
    """Copy the store to a file of its own, beside a running node or without one.

    The copy is of one moment. The node commits meanwhile as always.

    For example:

        greenroom db backup /backups/bank-monday.db

        greenroom db backup /backups/bank.db --force --store sqlite:////srv/bank.db

    Parameters
    ----------
    destination
        The file to write. It appears when it is whole and checked.
    force
        Overwrite it.
    """
    path = store_path(target)
    with _explained("--force overwrites it"), stoppable(), bar("backup") as (copying,):
        done = back_up(path, str(destination), Runtime(), overwrite=force, progress=copying)
    if as_json:
        print_json(done._asdict())
    else:
        note(f"{done.path}: {size(done.bytes)}, schema version {done.schema_version}, in {done.seconds:.1f} s")


def restore(
    backup: Path,
    /,
    *,
    force: Force = False,
    damaged: Annotated[bool, Parameter(negative=())] = False,
    target: Target | None = None,
    as_json: AsJson = False,
) -> None:
    """Put a backup in the store's place. No node may run, and no client may have the store open.

    Everything since the backup is undone: messages that were handled since then are handled again.

    For example:

        greenroom db restore /backups/bank-monday.db --force

    Parameters
    ----------
    backup
        A file that `db backup` has written, or another copy of a store.
    force
        Replace the store that is there. It stays beside the new one, as *.before-restore.
    damaged
        Take a backup with damaged rows, too: the rest of it is whole.
    """
    path = store_path(target)
    hint = "--force replaces it, and keeps the old one beside it"
    with _explained(hint), stoppable(), bar("restore", "check") as (copying, checking):
        done = restore_store(
            str(backup), path, Runtime(), overwrite=force, damaged=damaged, copying=copying, checking=checking
        )
    if as_json:
        print_json(done._asdict())
        return
    rows = f"{done.rows:,} rows" if done.rows else f"schema version {done.schema_version}, migrated at the next start"
    note(f"{path} was restored: {size(done.bytes)}, {rows}")
    if done.damaged:
        note(f"damaged rows: {done.damaged}. `greenroom db verify` says which, and what comes of it")
    if done.kept is not None:
        note(f"the store that was there is {done.kept}")


@contextmanager
def _explained(hint: str) -> Iterator[None]:
    try:
        yield
    except FileInTheWay as error:
        raise UsageWrong(f"{error}. {hint}" if error.replaceable else str(error)) from None
    except RowsDamaged as error:
        error.args = (f"{error}. Nothing was restored; --damaged takes it all the same",)
        raise
