"""Bugs to be planted in a victim, each of which breaks a promise: the tests that kill it must find them.

Each is a mistake that an engine of this kind might well have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from greenroom.actors.delivery.keys import Keys
from greenroom.actors.delivery.ref import Receipt
from greenroom.actors.delivery.tell import Delivery
from greenroom.actors.mailbox.envelope import Ask
from greenroom.actors.recovery.scan import Scan
from greenroom.persistence.commit.committer import Committer
from greenroom.persistence.commit.effects import Effects, Entry, Told
from greenroom.persistence.store.rows import Head, TimerRow

__all__ = ("BUGS", "plant")


def _receipt_before_commit() -> None:
    def wait(self: Receipt) -> Any:
        return iter(())

    Receipt.__await__ = wait  # type: ignore[method-assign]


Divide = Callable[[list[Effects]], tuple[list[Effects], list[Effects]]]

_NOTHING: dict[str, Any] = {"ack": 0, "inserts": (), "actor": None, "state": None, "rows": (), "deletes": ()}


def _split(divide: Divide) -> None:
    """Each batch becomes two commits."""
    write = Committer._write

    async def twice(self: Committer, batch: Sequence[Entry]) -> None:
        for half in divide([_whole(entry) for entry in batch]):
            await write(self, half)

    Committer._write = twice  # type: ignore[method-assign]


def _whole(entry: Entry) -> Effects:
    """An entry of whatever kind, as one that can be taken apart."""
    if isinstance(entry, Effects):
        return entry
    if isinstance(entry, Told):
        return Effects(inserts=(entry,))
    actor = None if entry.state is None else entry.actor
    return Effects(ack=entry.ack, inserts=entry.inserts, actor=actor, state=entry.state, guilty=entry.guilty)


def _with(effects: Effects, **changes: Any) -> Effects:
    kept = {name: getattr(effects, name) for name in (*_NOTHING, "guilty", "size")}
    return Effects(**{**kept, **changes})


def _ack_first() -> None:
    """The acknowledgement has a commit of its own, before what the turn did."""

    def divide(batch: list[Effects]) -> tuple[list[Effects], list[Effects]]:
        elided = {message.id for effects in batch for message in effects.inserts}
        acks = [_with(effects, **{**_NOTHING, "ack": effects.ack}) for effects in batch if effects.ack not in elided]
        return acks, [effects if effects.ack in elided else _with(effects, ack=0) for effects in batch]

    _split(divide)


def _ack_last() -> None:
    """The acknowledgement has a commit of its own, after what the turn did."""

    def divide(batch: list[Effects]) -> tuple[list[Effects], list[Effects]]:
        acks = [_with(effects, **{**_NOTHING, "ack": effects.ack}) for effects in batch]
        return [_with(effects, ack=0) for effects in batch], acks

    _split(divide)


def _state_last() -> None:
    """The state has a commit of its own, after the acknowledgement and the sends."""

    def divide(batch: list[Effects]) -> tuple[list[Effects], list[Effects]]:
        states = [_with(effects, ack=0, inserts=(), rows=(), deletes=()) for effects in batch]
        return [_with(effects, actor=None, state=None) for effects in batch], states

    _split(divide)


def _tick_last() -> None:
    """A timer is moved on in one commit, and its tick inserted in the next."""

    def is_tick(effects: Effects) -> bool:
        keys = [kind for kind, _ in effects.deletes] + [type(row) for row in effects.rows]
        return bool(effects.inserts) and not effects.ack and TimerRow in keys

    def divide(batch: list[Effects]) -> tuple[list[Effects], list[Effects]]:
        moved = [_with(effects, inserts=()) for effects in batch if is_tick(effects)]
        return moved, [_with(effects, rows=(), deletes=()) if is_tick(effects) else effects for effects in batch]

    _split(divide)


def _inbox_row_dropped() -> None:
    """The inbox row is deleted, and what it says is inserted in the next commit."""
    accept = Delivery.accept

    def late(self: Delivery, cell: Any, envelope: Any, deletes: Any = (), guilty: Any = None) -> int:
        if not deletes:
            return accept(self, cell, envelope)
        committer = self.kernel.commits
        position = committer.submit(Effects(deletes=deletes))
        committer.when(position, lambda _: accept(self, cell, envelope))
        return position

    Delivery.accept = late  # type: ignore[method-assign]


def _inbox_row_kept() -> None:
    """The inbox row is deleted a little later than what it says is inserted."""
    accept = Delivery.accept

    def late(self: Delivery, cell: Any, envelope: Any, deletes: Any = (), guilty: Any = None) -> int:
        position = accept(self, cell, envelope)
        if deletes:
            committer = self.kernel.commits
            committer.when(position, lambda _: committer.submit(Effects(deletes=deletes)))
        return position

    Delivery.accept = late  # type: ignore[method-assign]


def _boot(read: Callable[[list[Head], float], list[Head]]) -> None:
    """The boot finds other rows on disk than are there."""
    settle = Scan._settle

    def other(self: Scan, heads: list[Head], tried: Any) -> None:
        settle(self, read(heads, self._kernel.runtime.now()), tried)

    Scan._settle = other  # type: ignore[method-assign]


def _delay_forgotten() -> None:
    """At the boot delayed messages stay on disk."""
    _boot(lambda heads, now: [head for head in heads if head.due is None or head.due <= now])


def _delay_ignored() -> None:
    """At the boot delayed messages are handled at once."""
    _boot(lambda heads, _: [Head(head.id, head.address, head.priority, None) for head in heads])


def _mail_reversed() -> None:
    """At the boot the mailboxes are filled from the wrong end."""
    _boot(lambda heads, _: heads[::-1])


def _keys_in_memory() -> None:
    """Idempotency keys are remembered, but not on disk."""

    async def forgetful(self: Keys, name: tuple[str, str]) -> None:
        return None

    Keys.look_up = forgetful  # type: ignore[method-assign]


def _reply_before_commit() -> None:
    """An asker outside hears at once, and not when everything that the answer rests on is on disk."""

    def answer(ask: Ask, result: Any, after: int, commits: Any) -> None:
        if not ask.future.done():
            ask.future.set_result((result, after))

    Ask.answer = answer  # type: ignore[method-assign]


BUGS: dict[str, Callable[[], None]] = {
    "receipt before commit": _receipt_before_commit,
    "reply before commit": _reply_before_commit,
    "ack first": _ack_first,
    "ack last": _ack_last,
    "state last": _state_last,
    "tick last": _tick_last,
    "inbox row dropped": _inbox_row_dropped,
    "inbox row kept": _inbox_row_kept,
    "delay forgotten": _delay_forgotten,
    "delay ignored": _delay_ignored,
    "mail reversed": _mail_reversed,
    "keys in memory": _keys_in_memory,
}


def plant(bug: str) -> None:
    BUGS[bug]()
