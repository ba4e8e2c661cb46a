"""Idempotency keys: the same key to the same mailbox, within the retention, counts once."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import TYPE_CHECKING, ClassVar

from ...persistence.commit.effects import Effects
from ...persistence.errors import RecordCorrupt, StoreFull, StoreUnavailable
from ...persistence.store.checksums import seal
from ...persistence.store.rows import KeyRow
from ..kernel.hooks import Extension, Participant
from ..kernel.kernel import Kernel
from ..mailbox.envelope import Envelope
from .errors import KeyConflict, KeyDamaged

if TYPE_CHECKING:
    from ..kernel.cell import Cell
    from ..kernel.turn import Turn

__all__ = ("KeyChanges", "Keys")

DAMAGED = ""
"""Stands in place of a digest, because the row was damaged."""
RECENT_MAX = 100_000
"""The number of keys that memory holds; the others are looked up in the store."""


class Keys(Extension):
    """The idempotency keys of one node, as far as memory knows them."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.retention_s = kernel.settings.key_retention_s
        self._recent: OrderedDict[tuple[str, str], tuple[str, float, int]] = OrderedDict()
        """Digest, expiry and position of the tell, by address and key."""

    async def seen(self, envelope: Envelope) -> int | None:
        """The position of the earlier tell of this very message under its key (0: on disk); None if there is none.

        Raises:
            KeyConflict: another message was told under it. KeyDamaged: it isn't known which message was told.
        """
        assert envelope.key is not None
        await self.look_up((envelope.address, envelope.key))
        return self.seen_lately(envelope)

    async def look_up(self, name: tuple[str, str]) -> None:
        """Read the store's row of an address and key into memory.

        Raises:
            RecordCorrupt
            StoreFull, StoreUnavailable: the tree is being reset.
        """
        if name not in self._recent:
            try:
                row = await self._kernel.store.get(KeyRow, *name)
            except RecordCorrupt as error:
                row = self._bury(name, error)
            except (StoreFull, StoreUnavailable) as error:  # no fault of the message that is being handled
                self._kernel.store_failed(error)
                raise
            if row is not None and name not in self._recent:
                self._enter(name, (row.digest, row.expires, 0))

    def _bury(self, name: tuple[str, str], error: RecordCorrupt) -> KeyRow:
        """Replace the damaged row of a key: it says that something was told, and neither what nor when.

        The tell is refused, because to take it for a repetition could lose it, and to take it for new could double it.
        It isn't refused for ever: a row that lies here now has expired by the end of a whole retention from now on.

        Raises:
            StoreFull, StoreUnavailable
        """
        expires = self._kernel.runtime.now() + self.retention_s
        row = seal(KeyRow(*name, DAMAGED, 0, expires))
        self._kernel.commits.submit(Effects(rows=(row,)))
        effect = (
            f"whatever is told to {name[0]} under the key {name[1]!r} within the next {self.retention_s:g} s is refused"
        )
        self._kernel.report_damage(error, effect, name[0])
        return row

    def seen_lately(self, envelope: Envelope) -> int | None:
        """The answer of `seen` from memory alone, to check again after an await."""
        assert envelope.key is not None
        known = self._recent.get((envelope.address, envelope.key))
        if known is None or known[1] <= self._kernel.runtime.now():
            return None
        if known[0] == DAMAGED:
            raise KeyDamaged(envelope.address, envelope.key)
        if known[0] != digest(envelope):
            raise KeyConflict(envelope.address, envelope.key)
        return known[2]

    def row(self, envelope: Envelope) -> KeyRow:
        """The row that makes the key known."""
        assert envelope.key is not None
        expires = self._kernel.runtime.now() + self.retention_s
        return seal(KeyRow(envelope.address, envelope.key, digest(envelope), envelope.id, expires))

    def remember(self, row: KeyRow, position: int) -> None:
        """Note that the row has its position in the commit queue."""
        self._enter((row.address, row.key), (row.digest, row.expires, position))

    def _enter(self, name: tuple[str, str], known: tuple[str, float, int]) -> None:
        self._recent[name] = known
        if len(self._recent) > RECENT_MAX:
            self._recent.popitem(last=False)

    def in_use(self, name: tuple[str, str]) -> bool:
        """Whether an address and key are known, from memory alone, to be within their retention."""
        known = self._recent.get(name)
        return known is not None and known[1] > self._kernel.runtime.now()

    def reset(self) -> None:
        """Forget the keys in memory, because they may be of tells that were lost. After a reset only the
        store is believed."""
        self._recent.clear()


class KeyChanges(Participant):
    """The keys of the sends of one turn. They are looked up before its finish."""

    rank: ClassVar[int] = 0

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._keys = turn.cell.kernel.part(Keys)
        self._rows: list[KeyRow] = []
        turn.waits = True

    async def ready(self) -> None:
        """Drop the sends whose keys were seen before.

        Raises:
            KeyConflict: a key was used for another message.
        """
        keys, turn = self._keys, self._turn
        for _, envelope in turn.sends or ():
            if envelope.key is not None:
                await keys.seen(envelope)
        kept: list[tuple[Cell, Envelope]] = []
        mine: dict[tuple[str, str], str] = {}
        for cell, envelope in turn.sends or ():
            if envelope.key is not None:
                name, mark = (envelope.address, envelope.key), digest(envelope)
                if mine.setdefault(name, mark) != mark:
                    raise KeyConflict(*name)
                if keys.seen_lately(envelope) is not None or any(
                    other.key == envelope.key and other.address == envelope.address for _, other in kept
                ):
                    continue
            kept.append((cell, envelope))
        turn.sends = kept

    def prepare(self, inserts: list[Envelope], ahead: bool) -> int:
        self._rows = [self._keys.row(envelope) for envelope in inserts if envelope.key is not None]
        self._turn.record(*self._rows)
        return 0

    def apply(self) -> None:
        for row in self._rows:
            self._keys.remember(row, self._turn.after)


def digest(envelope: Envelope) -> str:
    body = envelope.body or b""
    return blake2b(envelope.tag.encode() + b"\0" + body, digest_size=16).hexdigest()
