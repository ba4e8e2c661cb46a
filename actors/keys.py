"""Idempotency keys: the same key to the same mailbox, within the retention, counts once."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import TYPE_CHECKING

from ..persistence.record import KeyRow, seal
from .envelope import Envelope
from .errors import KeyConflict

if TYPE_CHECKING:
    from .system import ActorSystem
    from .turn import Turn

__all__ = ("Keys",)

RECENT_MAX = 100_000
"""Keys remembered in memory; the others are looked up in the store."""


class Keys:
    def __init__(self, system: ActorSystem, retention_s: float) -> None:
        self._system = system
        self.retention_s = retention_s
        self._recent: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()

    async def seen(self, envelope: Envelope) -> bool:
        """Whether this very message was told under its key before.

        Raises:
            KeyConflict: another one was.
        """
        assert envelope.key is not None
        name = (envelope.address, envelope.key)
        known = self._recent.get(name)
        if known is None:
            row = await self._system.store.get(KeyRow, *name)
            known = self._recent.get(name) or ((row.digest, row.expires) if row is not None else None)
        if known is None or known[1] <= self._system.runtime.now():
            return False
        if known[0] != digest(envelope):
            raise KeyConflict(envelope.address, envelope.key)
        return True

    async def check_turn(self, turn: Turn) -> None:
        """Drop the sends of a turn whose keys were seen before.

        Raises:
            KeyConflict: a key was used for another message.
        """
        assert turn.sends is not None
        kept = []
        mine: dict[tuple[str, str], str] = {}
        for cell, envelope in turn.sends:
            if envelope.key is not None:
                name = (envelope.address, envelope.key)
                if name in mine:
                    if mine[name] != digest(envelope):
                        raise KeyConflict(*name)
                    continue
                if await self.seen(envelope):
                    continue
                mine[name] = digest(envelope)
            kept.append((cell, envelope))
        turn.sends = kept

    def row(self, envelope: Envelope) -> KeyRow:
        """The row that makes the key known, and the key known from now on."""
        assert envelope.key is not None
        expires = self._system.runtime.now() + self.retention_s
        mark = digest(envelope)
        self._recent[envelope.address, envelope.key] = (mark, expires)
        if len(self._recent) > RECENT_MAX:
            self._recent.popitem(last=False)
        return seal(KeyRow(envelope.address, envelope.key, mark, envelope.id, expires))

    def forget(self) -> None:
        """Memory may hold keys of tells that were lost: after a reset only the store is believed."""
        self._recent.clear()


def digest(envelope: Envelope) -> str:
    body = envelope.body or b""
    return blake2b(envelope.tag.encode() + b"\0" + body, digest_size=16).hexdigest()
