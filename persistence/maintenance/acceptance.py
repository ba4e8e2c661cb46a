"""Acceptance: the operator lets a node go on without commits that its store has lost."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

from ..engines.sqlite import statements as sql
from ..engines.sqlite.driver import connect, translate
from ..engines.sqlite.sidecars.lock import owned
from ..engines.sqlite.sidecars.loss import Loss, adopt, keep_wal, look
from ..engines.sqlite.sidecars.mark import Mark
from ..engines.sqlite.upgrade import inspect
from ..errors import StoreUnavailable
from ..migrations.version import SCHEMA_VERSION
from ..store.rows import OwnerRow

__all__ = ("accept_loss",)


def accept_loss(path: str) -> Loss | None:
    """Let the node go on without the missing commits, from its next start on.

    Returns:
        The loss; None if nothing is missing.

    Raises:
        StoreLocked: a node runs on it.
        StoreFull, StoreUnavailable, StoreCorrupt, SchemaTooNew
    """
    if not os.path.exists(path):
        raise StoreUnavailable(f"there is no store at {path}")
    with owned(path):
        loss = look(path)
        if loss is None:
            return None
        keep_wal(path)
        try:
            with closing(connect(path)) as connection:
                if inspect(connection, path) != SCHEMA_VERSION:
                    raise StoreUnavailable(f"{path} has another schema version: `greenroom db migrate` first")
                connection.execute("BEGIN IMMEDIATE")
                adopt(connection, loss)
                connection.execute("COMMIT")
                owner = OwnerRow._make(connection.execute(sql.OWNER).fetchone())
        except sqlite3.Error as error:
            raise translate(error, path) from error
        mark = Mark(f"{path}.mark")
        mark.open(owner, loss.inbox, None)
        mark.close()
        return loss
