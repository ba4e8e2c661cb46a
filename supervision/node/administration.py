"""Administration: the commands that a running node carries out for the command line and other processes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

import msgspec

from ...actors.execution import lifecycle
from ...actors.extensions.introspection.requests import Resume, Suspend
from ...actors.extensions.monitors.relations import ADMINISTRATION
from ...actors.kernel.cell import Cell
from ...actors.kernel.errors import ActorNotFound, StartFailed
from ...actors.kernel.status import PASSIVE, STOPPED, UP
from ...actors.mailbox.mailbox import Mailbox
from ...actors.recovery.belongings import rows_of
from ...persistence.commit.effects import Effects
from ...persistence.store.rows import ActorRow, MessageRow
from ..errors import AdministrationFailed
from ..spec.spec import Spec, shutdown_seconds
from .child_commands import ChildCommands
from .dead_letters import DeadLetters
from .listing import Listing
from .traces import Traces

if TYPE_CHECKING:
    from ...actors.system import ActorSystem
    from ..supervisor.tree import Tree

__all__ = ("Administration", "AdministrationFailed")

SUSPEND_S = 8.0
"""Seconds that a `Suspend` may wait for its turn. The command line waits longer, so none is handled after that."""


class Administration:
    """Called with a command's name, an address and JSON arguments; the result is data."""

    def __init__(self, system: ActorSystem, tree: Tree) -> None:
        self._system = system
        self._tree = tree
        self._commands: dict[str, Callable[[str, Any], Awaitable[Any]]] = {
            "actors.live": Listing(system, tree).live,
            "actors.reset": self.reset,
            "actors.retire": self.retire,
            "actors.suspend": self.suspend,
            "actors.resume": self.resume,
            "actors.trace": Traces(system).poll,
            **ChildCommands(system, tree).commands,
            **DeadLetters(system).commands,
        }

    async def __call__(self, command: str, address: str, arguments: bytes) -> Any:
        """
        Raises:
            GreenroomError: the command is unknown, or failed.
        """
        run = self._commands.get(command)
        if run is None:
            raise AdministrationFailed(f"this node knows no command {command!r}; is it older than the command line?")
        return await run(address, msgspec.json.decode(arguments or b"null"))

    async def suspend(self, address: str, _: Any) -> Any:
        """Let an actor handle nothing but system messages, once its running turn and the mail that waits are done."""
        await self._system.ref(address).ask(Suspend(), timeout_s=SUSPEND_S)
        return {"address": address, "suspended": True}

    async def resume(self, address: str, _: Any) -> Any:
        """Let a suspended actor go on."""
        cell = self._system.cells.get(address)
        if cell is not None and cell.suspended:
            await self._system.ref(address).ask(Resume(), timeout_s=SUSPEND_S)
            return {"address": address, "resumed": True}
        self._system.resolve(address)
        return {"address": address, "resumed": False}

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
        cell.state.forget(loaded=True)
        await self._resume(cell, was_up)
        return {"address": address, "reset": True}

    async def retire(self, address: str, _: Any) -> Any:
        """Delete an actor's state, mailbox, attempts, timers and monitors. A static one starts afresh; one under a
        template with its next message."""
        await self._system.pending.complete()  # after that all of its mail is known
        try:
            cell = self._actor(address)
        except ActorNotFound:
            return await self._retire_homeless(address)
        was_up = await self._halt(cell)
        rows = cell.row_ids()
        deletes = rows_of(address, rows, self._timers_of(address))
        self._system.timers.drop(address)
        self._system.monitors.retired(address)
        self._system.committer.submit(Effects(deletes=deletes))
        await self._system.committer.flush()
        self._system.delays.drop(address)
        cell.mailbox = Mailbox()
        cell.state.forget(loaded=True)
        await self._resume(cell, was_up)
        return {"address": address, "retired": True, "messages": len(rows)}

    async def _retire_homeless(self, address: str) -> Any:
        """Delete what is stored of an address that nothing in the tree has (any more)."""
        system = self._system
        rows = [row.id async for row in system.store.iterate(MessageRow, address=address)]
        if not rows and not await system.store.scan(ActorRow, address=address):
            raise AdministrationFailed(f"nothing in the tree has the address {address}, and nothing is stored of it")
        deletes = rows_of(address, rows, self._timers_of(address))
        system.pending.drop(address)
        system.timers.drop(address)
        system.delays.drop(address)
        system.monitors.retired(address)
        system.committer.submit(Effects(deletes=deletes))
        await system.committer.flush()
        return {"address": address, "retired": True, "messages": len(rows)}

    def _timers_of(self, address: str) -> list[str]:
        return [timer.name for timer in self._system.timers.of(address).values() if timer.stored]

    async def _halt(self, cell: Cell) -> bool:
        was_up = cell.status is UP
        if was_up:
            timeout_s = shutdown_seconds(cast(Spec, cell.spec).shutdown)
            await lifecycle.stop(cell, ADMINISTRATION, timeout_s, then=PASSIVE)
        if cell.turn is not None or cell.queued:
            raise AdministrationFailed(f"{cell.address} is busy ({cell.status}); try again")
        return was_up

    async def _resume(self, cell: Cell, was_up: bool) -> None:
        supervisor = cell.supervisor
        if cell.on_demand:
            cell.status = PASSIVE
            cell.wake()
        elif cell.address in self._tree.children.halted:
            return  # it was stopped before, and stays so
        elif supervisor is not None and supervisor.status is UP and (was_up or cell.status in (PASSIVE, STOPPED)):
            try:
                await lifecycle.start(cell)
            except StartFailed as error:
                cell.status = STOPPED
                raise AdministrationFailed(f"{cell.address} was cleared, but doesn't start: {error.reason}") from None
