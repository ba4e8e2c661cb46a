"""DeadLetters: requeue and discard the dead letters of a running node, for the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ...actors.delivery.tell import Delivery
from ...actors.mailbox.envelope import Envelope
from ...persistence.commit.effects import Effects
from ...persistence.store.rows import DeadLetterRow
from ..errors import AdministrationFailed

if TYPE_CHECKING:
    from ...actors.kernel.kernel import Kernel

__all__ = ("DeadLetters",)


class DeadLetters:
    """The commands about dead letters."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._one_by_one = asyncio.Lock()
        """Requeues go one by one, so that no letter is requeued twice."""
        self.commands: dict[str, Callable[[str, Any], Awaitable[Any]]] = {
            "dead.requeue": self.requeue,
            "dead.discard": self.discard,
        }

    async def requeue(self, _: str, ids: list[int]) -> Any:
        """Put dead letters back into their mailboxes, as new messages without failed attempts."""
        async with self._one_by_one:
            return await self._requeue(list(dict.fromkeys(ids)))

    async def _requeue(self, ids: list[int]) -> Any:
        done = 0
        for letter_id in ids:
            letter = await self._kernel.store.get(DeadLetterRow, letter_id)
            if letter is None:
                raise AdministrationFailed(f"there is no dead letter {letter_id} ({done} were requeued)")
            cell = self._kernel.router.resolve(letter.address)
            envelope = Envelope.from_letter(letter, self._kernel.next_uid)
            self._kernel.part(Delivery).accept(cell, envelope, deletes=((DeadLetterRow, letter_id),))
            done += 1
        await self._kernel.commits.flush()
        return {"requeued": done}

    async def discard(self, _: str, ids: list[int]) -> Any:
        """Delete dead letters."""
        for letter_id in ids:
            if not await self._kernel.store.scan(DeadLetterRow, id=letter_id):  # a damaged one can be discarded, too
                raise AdministrationFailed(f"there is no dead letter {letter_id}")
        self._kernel.commits.submit(Effects(deletes=[(DeadLetterRow, letter_id) for letter_id in ids]))
        await self._kernel.commits.flush()
        return {"discarded": len(ids)}
