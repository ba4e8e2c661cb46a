"""Tree diff: the changes that a config file would make to the children that the store has of the last run.

    found = await diff_tree(store, tree, aliases)
    found.new, found.left, found.changed, found.reordered

The rules are those by which a node takes up a changed tree (supervisor/child_rows.py): a new child starts; a child that
the tree doesn't name any more stays, stopped, with its state and its mail.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from ...actors.messages.aliases import Aliases
from ...persistence.store.checksums import checksum
from ...persistence.store.contract import Store
from ...persistence.store.rows import ActorRow, ChildRow
from ..spec.aliases import aliased_spec
from ..spec.fields import join
from ..spec.spec import ChildSpec, Spec, SupervisorSpec, walk
from ..supervisor.child_rows import LEFT, PLANNED, STARTED, STOPPED, decode_spec, encode_spec

__all__ = ("Change", "Child", "Left", "Reordered", "TreeDiff", "diff_tree")


CHUNK = 10_000
"""How many rows are read at once."""


class Child(msgspec.Struct, kw_only=True):
    address: str
    actor: str | None
    """The reference of its class; None for a supervisor."""
    below: int = 0
    """How many named children are below it, at any depth."""


class Left(Child, kw_only=True):
    """A child that isn't named any more, with everything below it."""

    states: int = 0
    messages: int = 0


class Change(msgspec.Struct, kw_only=True):
    """A child whose spec has changed."""

    address: str
    fields: dict[str, tuple[Any, Any]]
    """Key path to the old and the new value."""


class Reordered(msgspec.Struct, kw_only=True):
    """Children that stay, and start in another order."""

    supervisor: str
    before: list[str]
    after: list[str]


class TreeDiff(msgspec.Struct, kw_only=True):
    recorded: bool = False
    """Whether a run has left its children in this store at all."""
    new: list[Child] = []
    back: list[Child] = []
    """Children that had left, and are named again: they start, with the state and the mail that they left."""
    left: list[Left] = []
    changed: list[Change] = []
    reordered: list[Reordered] = []
    unchanged: int = 0
    """Children that are named as they were."""
    stopped: list[str] = []
    """Named children that were stopped, and stay so (`greenroom actors restart` starts them)."""
    started: int = 0
    """Children that came by `StartChild`, and stay."""
    left_before: list[str] = []
    """Children that left in an earlier run, and are still there."""

    @property
    def is_empty(self) -> bool:
        return not (self.new or self.back or self.left or self.changed or self.reordered)


async def diff_tree(store: Store, tree: SupervisorSpec, aliases: Aliases) -> TreeDiff:
    """Compare a tree with the last run's. A damaged row of a child counts as missing, as at the start of a node.

    Args:
        store: open, for reading at least; a node may run on it.
        tree: checked.
        aliases: settled; they are applied to the stored specs before these are compared.

    Raises:
        StoreError: the store can't be read.
    """
    named = dict(walk(tree))
    found = TreeDiff()
    rows: dict[str, ChildRow] = {}
    gone: dict[str, Left] = {}
    """Each address that leaves, with the uppermost child that leaves with it."""
    aside: set[str] = set()
    """The children that left before, and everything below them."""
    async for row in store.iterate(ChildRow):  # in the order of their addresses: parents before their children
        if checksum(row) != row.crc:
            continue
        found.recorded = True
        address = f"{row.supervisor}/{row.id}"
        if address in named:
            rows[address] = row
        elif row.supervisor in gone:
            gone[address] = gone[row.supervisor]
            gone[address].below += 1
        elif row.supervisor in aside:
            aside.add(address)
        elif row.supervisor in named or not row.supervisor:
            if row.status == PLANNED:
                gone[address] = Left(address=address, actor=_class(_decoded(row, aliases)))
                found.left.append(gone[address])
            elif row.status == LEFT:
                aside.add(address)
                found.left_before.append(address)
            else:
                found.started += 1
    if found.recorded:
        _compare(found, named, rows, aliases)
        found.reordered = list(_orders(named, rows))
        await _count(store, gone, found.left)
    return found


def _compare(found: TreeDiff, named: dict[str, Spec], rows: dict[str, ChildRow], aliases: Aliases) -> None:
    new: dict[str, Child] = {}
    for address, spec in named.items():
        row = rows.get(address)
        above = address.rpartition("/")[0]
        if row is None:
            if above in new:
                new[address] = new[above]
                new[address].below += 1
            else:
                new[address] = Child(address=address, actor=_class(spec))
                found.new.append(new[address])
            continue
        if row.status == STOPPED:
            found.stopped.append(address)
        parent = named.get(above)
        is_partition = isinstance(parent, SupervisorSpec) and parent.strategy == "partition"
        fields = {} if is_partition else _changes(_decoded(row, aliases), spec)  # the template says it once
        if row.status == STARTED:
            fields["status"] = (STARTED, PLANNED)
        if fields:
            found.changed.append(Change(address=address, fields=fields))
        if row.status == LEFT:
            found.back.append(Child(address=address, actor=_class(spec)))
        elif not fields:
            found.unchanged += 1


def _orders(named: dict[str, Spec], rows: dict[str, ChildRow]) -> Iterator[Reordered]:
    """The new orders, by supervisor, of children that stay."""
    for address, spec in named.items():
        if not isinstance(spec, SupervisorSpec):
            continue
        both = [
            (row.position, child.id)
            for child in spec.children
            if (row := rows.get(f"{address}/{child.id}")) is not None and row.status in (PLANNED, STOPPED)
        ]
        before, after = [child for _, child in sorted(both)], [child for _, child in both]
        if before != after:
            yield Reordered(supervisor=address, before=before, after=after)


async def _count(store: Store, gone: dict[str, Left], left: list[Left]) -> None:
    """Count the states and messages at, and below, every child that leaves."""
    if not left:
        return
    for child in left:
        below = f"{child.address}/"
        child.states = await store.count(ActorRow, address=child.address)
        after = (below,)
        while rows := await store.scan(ActorRow, after=after, limit=CHUNK):
            inside = [row for row in rows if str(row.address).startswith(below)]
            child.states += len(inside)
            if len(inside) < CHUNK:
                break
            after = (rows[-1].address,)
    last = 0
    while heads := await store.heads(last, CHUNK):
        last = heads[-1].id
        for head in heads:
            address = str(head.address)
            while address and address not in gone:
                address = address.rpartition("/")[0]
            if address:
                gone[address].messages += 1


def _decoded(row: ChildRow, aliases: Aliases) -> Spec | None:
    try:
        return aliased_spec(decode_spec(row.spec), aliases)
    except msgspec.MsgspecError:
        return None


def _class(spec: Spec | None) -> str | None:
    return str(spec.actor) if isinstance(spec, ChildSpec) else None


def _changes(old: Spec | None, new: Spec) -> dict[str, tuple[Any, Any]]:
    """The fields that differ, with their old and new values; None for a field that isn't given."""
    if old is None:
        return {"spec": ("can't be read by this version", "the config file's")}
    new = decode_spec(encode_spec(new))  # as it will be stored
    if old.kind != new.kind:
        return {"kind": (old.kind, new.kind)}
    before, after = dict(_flat(old)), dict(_flat(new))
    keys = [*after, *(key for key in before if key not in after)]
    return {key: (before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)}


def _flat(spec: Spec, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name in spec.__struct_fields__:
        value = getattr(spec, name)
        if isinstance(value, ChildSpec):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, dict):
            yield from ((join(f"{prefix}{name}", key), entry) for key, entry in value.items())
        elif name != "children":
            yield f"{prefix}{name}", msgspec.to_builtins(value)
