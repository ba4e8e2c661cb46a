"""Administration: what the command line, and other processes, can have done on a running node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

import msgspec

from ..actors.cell import Cell
from ..actors.envelope import Envelope
from ..actors.errors import StartFailed
from ..actors.exits import ExitReason
from ..actors.mailbox import Mailbox
from ..actors.status import PASSIVE, STOPPED, UP
from ..persistence.effects import Effects
from ..persistence.errors import UnderstudyError
from ..persistence.record import ActorRow, AttemptRow, DeadLetterRow, MessageRow
from .spec import Spec
from .supervisor import shutdown_seconds

if TYPE_CHECKING:
    from ..actors.system import ActorSystem
    from .tree import Tree

__all__ = ("Administration", "AdministrationFailed")


class AdministrationFailed(UnderstudyError):
    """An administrative command can't be carried out."""


class Administration:
    """Called with a command's name, an address and JSON arguments; the result is data."""

    def __init__(self, system: ActorSystem, tree: Tree) -> None:
        self._system = system
        self._tree = tree
        self._commands: dict[str, Callable[[str, Any], Awaitable[Any]]] = {
            "actors.live": self.live,
            "actors.reset": self.reset,
            "actors.retire": self.retire,
            "dead.requeue": self.requeue,
            "dead.discard": self.discard,
        }

    async def __call__(self, command: str, address: str, arguments: bytes) -> Any:
        """
        Raises:
            UnderstudyError: the command is unknown, or failed.
        """
        run = self._commands.get(command)
        if run is None:
            raise AdministrationFailed(
                f"this node knows no command {command!r}; is it older than the command line?"
            )
        return await run(address, msgspec.json.decode(arguments or b"null"))

    async def live(self, address: str, _: Any) -> list[dict[str, Any]]:
        """What the node knows of every cell at or below an address."""
        below = address.rstrip("/") + "/"
        return [
            self._describe(cell)
            for name, cell in sorted(self._system.cells.items())
            if name == address or name.startswith(below) or address == "/"
        ]

    def _describe(self, cell: Cell) -> dict[str, Any]:
        turn = cell.turn
        return {
            "address": cell.address,
            "status": cell.status,
            "type": cell.definition.name,
            "incarnation": 0 if cell.incarnation is None else cell.incarnation.number,
            "mailbox": cell.mailbox.count,
            "handling": None if turn is None or turn.message is None else type(turn.message).__name__,
        }

    # -- actors --------------------------------------------------------------------------------------

    def _actor(self, address: str) -> Cell:
        cell = self._system.cells.get(address) or self._system.resolve(address)
        if not cell.durable:
            raise AdministrationFailed(f"{address} keeps nothing in the store (durable=False)")
        return cell

    async def reset(self, address: str, _: Any) -> Any:
        """Forget an actor's state; its mailbox stays. It starts afresh."""
        cell = self._actor(address)
        was_up = await self._halt(cell)
        self._system.committer.submit(Effects(deletes=((ActorRow, address),)))
        await self._system.committer.flush()
        cell.state = None
        cell.known = False
        cell.loaded = True
        cell.keeps_row = True
        await self._resume(cell, was_up)
        return {"address": address, "reset": True}

    async def retire(self, address: str, _: Any) -> Any:
        """Delete an actor's state, mailbox and attempts. A static one starts afresh; one under a template with its next message."""
        cell = self._actor(address)
        was_up = await self._halt(cell)
        rows = cell.row_ids()
        deletes: list[tuple[Any, Any]] = [(ActorRow, address)]
        for row_id in rows:
            deletes += [(MessageRow, row_id), (AttemptRow, row_id)]
        self._system.committer.submit(Effects(deletes=deletes))
        await self._system.committer.flush()
        self._system.delays.drop(address)
        cell.mailbox = Mailbox()
        cell.state = None
        cell.known = False
        cell.loaded = True
        cell.keeps_row = True
        await self._resume(cell, was_up)
        return {"address": address, "retired": True, "messages": len(rows)}

    async def _halt(self, cell: Cell) -> bool:
        was_up = cell.status is UP
        if was_up:
            timeout_s = shutdown_seconds(cast(Spec, cell.spec).shutdown)
            await cell.stop(ExitReason.shutdown("administration"), timeout_s, then=PASSIVE)
        if cell.turn is not None or cell.queued:
            raise AdministrationFailed(f"{cell.address} is busy ({cell.status}); try again")
        return was_up

    async def _resume(self, cell: Cell, was_up: bool) -> None:
        supervisor = cell.supervisor
        if cell.on_demand:
            cell.status = PASSIVE
            cell.wake()
        elif (
            supervisor is not None
            and supervisor.status is UP
            and (was_up or cell.status in (PASSIVE, STOPPED))
        ):
            try:
                await cell.start()
            except StartFailed as error:
                cell.status = STOPPED
                raise AdministrationFailed(
                    f"{cell.address} was cleared, but doesn't start: {error.reason}"
                ) from None

    # -- dead letters --------------------------------------------------------------------------------------

    async def requeue(self, _: str, ids: list[int]) -> Any:
        """Put dead letters back into their mailboxes, as new messages without failed attempts."""
        done = 0
        for letter_id in ids:
            letter = await self._system.store.get(DeadLetterRow, letter_id)
            if letter is None:
                raise AdministrationFailed(f"there is no dead letter {letter_id} ({done} were requeued)")
            cell = self._system.resolve(letter.address)
            envelope = Envelope(letter.address, letter.uid, None, letter.type, letter.body.encode())
            envelope.sender = letter.sender
            self._system.accept(cell, envelope, deletes=((DeadLetterRow, letter_id),))
            done += 1
        await self._system.committer.flush()
        return {"requeued": done}

    async def discard(self, _: str, ids: list[int]) -> Any:
        """Delete dead letters."""
        for letter_id in ids:
            if await self._system.store.get(DeadLetterRow, letter_id) is None:
                raise AdministrationFailed(f"there is no dead letter {letter_id}")
        self._system.committer.submit(Effects(deletes=[(DeadLetterRow, letter_id) for letter_id in ids]))
        await self._system.committer.flush()
        return {"discarded": len(ids)}
