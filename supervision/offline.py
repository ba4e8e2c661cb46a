"""Offline: administration of a store on which no node runs. Each change is one commit under the node's own lock.

    await retire(store, "/bank/accounts/alice")

The same changes on a running node are `Administration`'s.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from ..persistence.attempts import is_uid
from ..persistence.errors import UnderstudyError
from ..persistence.record import ActorRow, AttemptRow, DeadLetterRow, MessageRow, TimerRow, seal, verify
from ..persistence.runtime import Runtime
from ..persistence.store import Commit, Store

__all__ = ("NotStored", "discard", "requeue", "reset", "retire")


class NotStored(UnderstudyError):
    """What is to be changed isn't there."""


async def reset(store: Store, address: str) -> dict[str, Any]:
    """Forget an actor's state; its mailbox stays. At the next start it begins afresh.

    Raises:
        StoreLocked: a node runs on the store. NotStored, StoreError
    """
    async with _owned(store) as commit:
        await _delete_state(store, commit, address)
    return {"address": address, "reset": True}


async def retire(store: Store, address: str) -> dict[str, Any]:
    """Delete an actor's state, its mailbox, their attempts and its timers.

    Raises:
        StoreLocked, NotStored, StoreError
    """
    async with _owned(store) as commit:
        ids = [row.id async for row in store.iterate(MessageRow, address=address)]
        timers = [(row.address, row.name) async for row in store.iterate(TimerRow, address=address)]
        try:
            await _delete_state(store, commit, address)
        except NotStored:
            if not ids:
                raise
        commit.delete(MessageRow, *ids).delete(AttemptRow, *ids).delete(TimerRow, *timers)
    return {"address": address, "retired": True, "messages": len(ids)}


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
            message = MessageRow(
                id=commit.last_id,
                address=letter.address,
                priority=0,
                due=None,
                uid=letter.uid if is_uid(letter.uid) else Runtime().uid(),  # parked because it was damaged
                sender=letter.sender,
                key=None,
                type=letter.type,
                body=letter.body,
            )
            commit.inserts.append(seal(message))
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


async def _delete_state(store: Store, commit: Commit, address: str) -> None:
    if not await store.scan(ActorRow, address=address):
        raise NotStored(f"nothing is stored of {address}")
    commit.delete(ActorRow, address)


@asynccontextmanager
async def _owned(store: Store) -> AsyncIterator[Commit]:
    """The store taken as its node would take it, and a commit that is written at the end of the block."""
    owner = await store.open()
    try:
        commit = Commit(owner.commit_no + 1)
        commit.last_id = max(owner.last_id, await store.last_id())
        yield commit
        await store.commit(commit)
    finally:
        await store.close()
