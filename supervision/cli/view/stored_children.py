"""StoredChild: the stored record of a child, for listings."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from ....persistence.errors import RecordCorrupt
from ....persistence.store.checksums import verify
from ....persistence.store.contract import Store
from ....persistence.store.rows import ChildRow
from ...spec.spec import ChildSpec, Spec
from ...supervisor.child_rows import LEFT, STOPPED, decode_spec

__all__ = ("DAMAGED", "StoredChild", "stored_child", "stored_children")

DAMAGED = "damaged"


class StoredChild(NamedTuple):
    """One child's record. Children of a template, and temporary ones, have none."""

    address: str
    supervisor: str
    position: int
    status: str
    """planned, started, stopped, left (supervision/supervisor/child_rows.py); or damaged."""
    spec: Spec | None
    """None if it is damaged, or of another version."""

    @property
    def halted(self) -> bool:
        """Whether it doesn't run; also if its record is damaged, so that nothing can be said of it."""
        return self.status in (STOPPED, LEFT, DAMAGED)

    def facts(self) -> dict[str, Any]:
        """Its facts for a listing of actors."""
        spec = self.spec
        facts: dict[str, Any] = {"address": self.address, "type": None, "status": self.status}
        if isinstance(spec, ChildSpec):
            facts["type"] = str(spec.actor)
        elif spec is not None:
            facts["kind"] = spec.kind
        return facts


async def stored_children(store: Store, prefix: str = "/") -> list[StoredChild]:
    """The stored children at and below an address: supervisors before their children, siblings in start order."""
    below = f"{prefix.rstrip('/')}/"
    found = [
        child
        async for row in store.iterate(ChildRow)
        if (child := _child(row)).address == prefix or child.address.startswith(below)
    ]
    return sorted(found, key=lambda child: (child.supervisor.count("/"), child.supervisor, child.position))


async def stored_child(store: Store, address: str) -> StoredChild | None:
    supervisor, _, child_id = address.rpartition("/")
    rows = await store.scan(ChildRow, supervisor=supervisor, id=child_id)
    return _child(rows[0]) if rows else None


def _child(row: ChildRow) -> StoredChild:
    address = f"{row.supervisor}/{row.id}"
    try:
        verify(row)
    except RecordCorrupt:  # its columns may hold anything
        return StoredChild(address, str(row.supervisor), 0, DAMAGED, None)
    try:
        spec = decode_spec(row.spec)
    except msgspec.MsgspecError:
        spec = None
    return StoredChild(address, row.supervisor, row.position, row.status, spec)
