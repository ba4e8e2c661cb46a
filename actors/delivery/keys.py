"""Idempotency keys: the same key to the same mailbox, within the retention, counts once."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import TYPE_CHECKING

from ...persistence.commit.effects import Effects
from ...persistence.errors import RecordCorrupt, StoreFull, StoreUnavailable
from ...persistence.store.checksums import seal
from ...persistence.store.rows import KeyRow
from ..mailbox.envelope import Envelope
from ..recovery.damage import report_damage
from .errors import KeyConflict, KeyDamaged

if TYPE_CHECKING:
    from ..kernel.cell import Cell
    from ..kernel.turn import Turn
    from ..system import ActorSystem

__all__ = ("Keys",)

DAMAGED = ""
"""In place of a digest: the row was damaged."""
RECENT_MAX = 100_000
"""Keys remembered in memory; the others are looked up in the store."""


class Keys:
    def __init__(self, system: ActorSystem, retention_s: float) -> None:
        self._system = system
        self.retention_s = retention_s
        self._recent: OrderedDict[tuple[str, str], tuple[str, float, int]] = OrderedDict()
        """Digest, expiry and position of the tell, by address and key."""

    async def seen(self, envelope: Envelope) -> int | None:
        """The position of the earlier tell of this very message under its key (0: on disk); None if there is none.

        Raises:
            KeyConflict: another message was told under it. KeyDamaged: it isn't known which.
        """
        assert envelope.key is not None
        await self.look_up((envelope.address, envelope.key))
        return self.seen_lately(envelope)

    async def look_up(self, name: tuple[str, str]) -> None:
        """Get what the store knows of an address and key into memory.

        Raises:
            RecordCorrupt
            StoreFull, StoreUnavailable: the tree is being reset.
        """
        if name not in self._recent:
            try:
                row = await self._system.store.get(KeyRow, *name)
            except RecordCorrupt as error:
                row = self._bury(name, error)
            except (StoreFull, StoreUnavailable) as error:  # no fault of the message that is being handled
                self._system.recovery.store_failed(error)
                raise
            if row is not None and name not in self._recent:
                self._enter(name, (row.digest, row.expires, 0))

    def _bury(self, name: tuple[str, str], error: RecordCorrupt) -> KeyRow:
        """The row of a key is damaged: it says that something was told, and neither what nor when.

        To take the tell for a repetition could lose it, to take it for new could double it. So it is refused; but not
        for ever: a row that lies here now has expired by the end of a whole retention from now on.

        Raises:
            StoreFull, StoreUnavailable
        """
        expires = self._system.runtime.now() + self.retention_s
        row = seal(KeyRow(*name, DAMAGED, 0, expires))
        self._system.committer.submit(Effects(rows=(row,)))
        effect = (
            f"whatever is told to {name[0]} under the key {name[1]!r} within the next {self.retention_s:g} s is refused"
        )
        report_damage(self._system, error, effect, name[0])
        return row

    def seen_lately(self, envelope: Envelope) -> int | None:
        """The same from memory alone: to look again after an await."""
        assert envelope.key is not None
        known = self._recent.get((envelope.address, envelope.key))
        if known is None or known[1] <= self._system.runtime.now():
            return None
        if known[0] == DAMAGED:
            raise KeyDamaged(envelope.address, envelope.key)
        if known[0] != digest(envelope):
            raise KeyConflict(envelope.address, envelope.key)
        return known[2]

    async def check_turn(self, turn: Turn) -> None:
        """Drop the sends of a turn whose keys were seen before. Nothing may be awaited between this and the finish.

        Raises:
            KeyConflict: a key was used for another message.
        """
        if turn.retiring:
            await self._system.pending.complete()  # what it deletes is all of its mail
        if turn.sends is None:
            return
        for _, envelope in turn.sends:
            if envelope.key is not None:
                await self.seen(envelope)
        kept: list[tuple[Cell, Envelope]] = []
        mine: dict[tuple[str, str], str] = {}
        for cell, envelope in turn.sends:
            if envelope.key is not None:
                name, mark = (envelope.address, envelope.key), digest(envelope)
                if mine.setdefault(name, mark) != mark:
                    raise KeyConflict(*name)
                if self.seen_lately(envelope) is not None or any(
                    other.key == envelope.key and other.address == envelope.address for _, other in kept
                ):
                    continue
            kept.append((cell, envelope))
        turn.sends = kept

    def row(self, envelope: Envelope) -> KeyRow:
        """The row that makes the key known."""
        assert envelope.key is not None
        expires = self._system.runtime.now() + self.retention_s
        return seal(KeyRow(envelope.address, envelope.key, digest(envelope), envelope.id, expires))

    def remember(self, row: KeyRow, position: int) -> None:
        """The row is in the commit order."""
        self._enter((row.address, row.key), (row.digest, row.expires, position))

    def _enter(self, name: tuple[str, str], known: tuple[str, float, int]) -> None:
        self._recent[name] = known
        if len(self._recent) > RECENT_MAX:
            self._recent.popitem(last=False)

    def in_use(self, name: tuple[str, str]) -> bool:
        """Whether an address and key are known, from memory alone, to be within their retention."""
        known = self._recent.get(name)
        return known is not None and known[1] > self._system.runtime.now()

    def forget(self) -> None:
        """Memory may hold keys of tells that were lost: after a reset only the store is believed."""
        self._recent.clear()


def digest(envelope: Envelope) -> str:
    body = envelope.body or b""
    return blake2b(envelope.tag.encode() + b"\0" + body, digest_size=16).hexdigest()
