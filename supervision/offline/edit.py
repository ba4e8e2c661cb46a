"""Edit: changes to a store on which no node runs. Each is one commit under the node's own lock.

    await retire(store, "/bank/accounts/alice")

A running node makes the same changes itself (node/administration.py).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec

from ...actors.extensions.monitors.relations import retire_row
from ...actors.kernel.leaving import belongings
from ...actors.mailbox.envelope import Envelope
from ...persistence.errors import GreenroomError, RecordCorrupt
from ...persistence.runtime import Runtime
from ...persistence.store.checksums import seal, verify
from ...persistence.store.commit import Commit
from ...persistence.store.contract import Store
from ...persistence.store.rows import (
    ActorRow,
    ChildRow,
    DeadLetterRow,
    MessageRow,
    MonitorRow,
    TimerRow,
)
from ..errors import AdministrationFailed
from ..spec.spec import SupervisorSpec
from ..supervisor.child_rows import LEFT, PLANNED, STARTED, STOPPED, decode_spec

__all__ = ("NotStored", "delete", "discard", "requeue", "reset", "retire", "start", "stop")


class NotStored(GreenroomError):
    """The row that is to be changed isn't there."""


async def reset(store: Store, address: str) -> dict[str, Any]:
    """Forget an actor's state; its mailbox stays. At the next start it begins afresh.

    Raises:
        StoreLocked: a node runs on the store. NotStored, StoreError
    """
    async with _owned(store) as commit:
        await _check_state(store, address)
        commit.delete(ActorRow, address)
    return {"address": address, "reset": True}


async def retire(store: Store, address: str) -> dict[str, Any]:
    """Delete an actor's state, its mailbox, their attempts, its timers and its monitors.

    The next boot tells those that monitor it, or are linked to it, as a running node tells them at once.

    Raises:
        StoreLocked, NotStored, StoreError
    """
    async with _owned(store) as commit:
        messages = [row.id async for row in store.iterate(MessageRow, address=address)]
        timers = [(TimerRow, (row.address, row.name)) async for row in store.iterate(TimerRow, address=address)]
        if not messages:
            await _check_state(store, address)
        for kind, key in belongings(address, messages, timers):
            commit.delete(kind, key)
        for row in await _relations(store, address):
            left = retire_row(row, address)
            if left is None:
                commit.delete(MonitorRow, row.id)
            elif left != row:
                commit.put(left)
    return {"address": address, "retired": True, "messages": len(messages)}


async def _relations(store: Store, address: str) -> list[MonitorRow]:
    """The monitors and links with this address at one end. Damaged ones stay as they are: the boot reports them."""
    found = [row async for row in store.iterate(MonitorRow, watcher=address)]
    found += [row async for row in store.iterate(MonitorRow, target=address)]
    intact: list[MonitorRow] = []
    for row in found:
        with suppress(RecordCorrupt):
            intact.append(verify(row))
    return intact


async def stop(store: Store, address: str) -> dict[str, Any]:
    """Keep a child, and everything below it, from starting with the node. A child of a dynamic supervisor is forgotten.

    Raises:
        StoreLocked, NotStored, StoreError
        AdministrationFailed: it is the root, or is made from a template.
        RecordCorrupt: its record is damaged; it can only be deleted.
    """
    async with _owned(store) as commit:
        row, dynamic = await _child(store, address)
        if dynamic:  # as in a running node
            await _delete_child(store, commit, row)
        elif verify(row).status != LEFT:
            commit.put(seal(row._replace(status=STOPPED)))
    return {"address": address, "stopped": True, "kept": not dynamic}


async def start(store: Store, address: str) -> dict[str, Any]:
    """Let a child that was stopped, or that the tree doesn't name any more, start with the node.

    Raises: as `stop`.
    """
    async with _owned(store) as commit:
        row, _ = await _child(store, address)
        if verify(row).status in (STOPPED, LEFT):
            # The boot makes it planned again if the tree names it.
            commit.put(seal(row._replace(status=STARTED)))
    return {"address": address, "started": False, "next": True}


async def delete(store: Store, address: str) -> dict[str, Any]:
    """Forget a child and all that is below it, damaged ones too; state and mail stay.

    Raises:
        StoreLocked, NotStored, StoreError
        AdministrationFailed: it is the root, or is made from a template.
    """
    async with _owned(store) as commit:
        row, _ = await _child(store, address)
        await _delete_child(store, commit, row)
    return {"address": address, "deleted": True, "planned": row.status == PLANNED}


async def requeue(store: Store, ids: Sequence[int]) -> dict[str, Any]:
    """Make messages of dead letters again: all of them or none, at the end of their mailboxes, without failed attempts.

    Raises:
        StoreLocked, NotStored, StoreError
        RecordCorrupt: one of them is damaged; it can only be discarded.
    """
    async with _owned(store) as commit:
        letters = [verify(await _letter(store, letter_id)) for letter_id in dict.fromkeys(ids)]
        for letter in letters:
            commit.last_id += 1
            told = Envelope.from_letter(letter, Runtime().uid)
            told.id = commit.last_id
            commit.inserts.append(told.row())
            commit.delete(DeadLetterRow, letter.id)
    return {"requeued": len(letters)}


async def discard(store: Store, ids: Sequence[int]) -> dict[str, Any]:
    """Delete dead letters, damaged ones too: all of them or none.

    Raises:
        StoreLocked, NotStored, StoreError
    """
    async with _owned(store) as commit:
        wanted = list(dict.fromkeys(ids))
        for letter_id in wanted:
            await _letter(store, letter_id)
        commit.delete(DeadLetterRow, *wanted)
    return {"discarded": len(wanted)}


async def _letter(store: Store, letter_id: int) -> DeadLetterRow:
    found = await store.scan(DeadLetterRow, id=letter_id)
    if not found:
        raise NotStored(f"there is no dead letter {letter_id}; nothing was changed")
    return found[0]


async def _child(store: Store, address: str) -> tuple[ChildRow, bool]:
    """The record of a child, unverified, and whether its supervisor is a dynamic one."""
    above, _, child_id = address.rpartition("/")
    if not above:
        raise AdministrationFailed(f"{address} is the root of the tree: `greenroom run` starts it, or doesn't")
    parent = await _record(store, above)
    spec = None
    if parent is not None:
        try:
            spec = decode_spec(verify(parent).spec)
        except msgspec.MsgspecError:
            pass  # of another version
    if isinstance(spec, SupervisorSpec) and spec.strategy == "dynamic":
        if spec.template is not None:
            why = "is made from a template: it starts with its next message, and can't be started or stopped here"
            raise AdministrationFailed(f"{address} {why}. `greenroom actors retire` deletes its state and its mail")
        dynamic = True
    else:
        dynamic = False
    row = await _record(store, address)
    if row is None:
        raise NotStored(f"the store knows of no child {child_id} of {above}. `greenroom tree` shows what there is")
    return row, dynamic


async def _record(store: Store, address: str) -> ChildRow | None:
    above, _, child_id = address.rpartition("/")
    rows = await store.scan(ChildRow, supervisor=above, id=child_id)
    return rows[0] if rows else None


async def _delete_child(store: Store, commit: Commit, row: ChildRow) -> None:
    """Delete its record, and those of everything below it."""
    commit.delete(ChildRow, (row.supervisor, row.id))
    async for below in store.iterate(ChildRow, supervisor=f"{row.supervisor}/{row.id}"):
        await _delete_child(store, commit, below)


async def _check_state(store: Store, address: str) -> None:
    """
    Raises:
        NotStored: there is no state of this address.
    """
    if not await store.scan(ActorRow, address=address):
        raise NotStored(f"nothing is stored of {address}. `greenroom actors list` shows what there is")


@asynccontextmanager
async def _owned(store: Store) -> AsyncIterator[Commit]:
    """Take the store as its node would; yields a commit that is written at the end of the block."""
    owner = await store.open()
    try:
        commit = Commit(owner.commit_no + 1)
        commit.last_id = max(owner.last_id, await store.last_id())
        yield commit
        await store.commit(commit)
    finally:
        await store.close()
