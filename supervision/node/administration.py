"""Administration: the commands that a running node carries out for the command line and other processes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

import msgspec

from ...actors.delivery.ref import ref_to
from ...actors.execution.shutdown import stop as stop_cell
from ...actors.execution.start import start as start_cell
from ...actors.extensions.introspection.requests import Resume, Suspend
from ...actors.extensions.monitors.registry import Monitors
from ...actors.extensions.monitors.relations import ADMINISTRATION
from ...actors.kernel.cell import PASSIVE, STOPPED, UP, Cell
from ...actors.kernel.errors import ActorNotFound, StartFailed
from ...actors.kernel.leaving import belongings, row_ids
from ...persistence.commit.effects import Effects
from ...persistence.store.rows import ActorRow, MessageRow, Row
from ..errors import AdministrationFailed
from ..spec.spec import Spec, shutdown_seconds
from .child_commands import ChildCommands
from .dead_letters import DeadLetters
from .listing import Listing
from .traces import Traces

if TYPE_CHECKING:
    from ...actors.kernel.kernel import Kernel
    from ..supervisor.tree import Tree

__all__ = ("Administration", "AdministrationFailed")

SUSPEND_S = 8.0
"""Seconds that a `Suspend` may wait for its turn. The command line waits longer, so none is handled after that."""


class Administration:
    """Called with a command's name, an address and JSON arguments; the result is data."""

    def __init__(self, kernel: Kernel, tree: Tree) -> None:
        self._kernel = kernel
        self._tree = tree
        self._commands: dict[str, Callable[[str, Any], Awaitable[Any]]] = {
            "actors.live": Listing(kernel, tree).live,
            "actors.reset": self.reset,
            "actors.retire": self.retire,
            "actors.suspend": self.suspend,
            "actors.resume": self.resume,
            "actors.trace": Traces(kernel).poll,
            **ChildCommands(kernel, tree).commands,
            **DeadLetters(kernel).commands,
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
        await ref_to(self._kernel, address).ask(Suspend(), timeout_s=SUSPEND_S)
        return {"address": address, "suspended": True}

    async def resume(self, address: str, _: Any) -> Any:
        """Let a suspended actor go on."""
        cell = self._kernel.cells.get(address)
        if cell is not None and cell.suspended:
            await ref_to(self._kernel, address).ask(Resume(), timeout_s=SUSPEND_S)
            return {"address": address, "resumed": True}
        self._kernel.router.resolve(address)
        return {"address": address, "resumed": False}

    def _actor(self, address: str) -> Cell:
        cell = self._kernel.cells.get(address) or self._kernel.router.resolve(address)
        if not cell.durable:
            raise AdministrationFailed(f"{address} keeps nothing in the store (durable=False)")
        return cell

    async def reset(self, address: str, _: Any) -> Any:
        """Forget an actor's state; its mailbox stays. It starts afresh."""
        cell = self._actor(address)
        await self._check_known(cell)
        was_up = await self._halt(cell)
        try:
            self._kernel.commits.submit(Effects(deletes=((ActorRow, address),)))
            await self._kernel.commits.flush()
            cell.state.forget(loaded=True)
        finally:
            cell.unreserve()
        await self._resume(cell, was_up)
        return {"address": address, "reset": True}

    async def retire(self, address: str, _: Any) -> Any:
        """Delete an actor's state, mailbox, attempts, timers and monitors. A static one starts afresh; one under a
        template with its next message."""
        await self._kernel.index.complete()  # after that all of its mail is known
        try:
            cell = self._actor(address)
        except ActorNotFound:
            return await self._retire_homeless(address)
        await self._check_known(cell)
        was_up = await self._halt(cell)
        try:
            rows = belongings(address, row_ids(cell), self._kernel.rows_of(address))
            await self._delete(address, rows)
            messages = {key for kind, key in rows if kind is MessageRow}
            cell.forget_mail(messages)
            cell.state.forget(loaded=True)
        finally:
            cell.unreserve()
        await self._resume(cell, was_up)
        return {"address": address, "retired": True, "messages": len(messages)}

    async def _retire_homeless(self, address: str) -> Any:
        """Delete the rows of an address that nothing in the tree has (any more)."""
        kernel = self._kernel
        messages = [row.id async for row in kernel.store.iterate(MessageRow, address=address)]
        if not messages and not await kernel.store.scan(ActorRow, address=address):
            raise AdministrationFailed(f"nothing in the tree has the address {address}, and nothing is stored of it")
        rows = belongings(address, messages, kernel.rows_of(address))
        kernel.index.drop(address)
        kernel.delayed.drop(address)
        await self._delete(address, rows)
        return {"address": address, "retired": True, "messages": len(messages)}

    async def _delete(self, address: str, rows: list[tuple[type[Row], Any]]) -> None:
        """Delete the rows of an address that nothing runs at, and tell those who monitor it or are linked to it."""
        kernel = self._kernel
        kernel.forget(address)
        kernel.part(Monitors).retired(address)
        kernel.commits.submit(Effects(deletes=rows))
        await kernel.commits.flush()

    async def _check_known(self, cell: Cell) -> None:
        """
        Raises:
            AdministrationFailed: it is under a template, doesn't run, and nothing is stored of it: a typing error.
        """
        if not cell.on_demand or cell.status is not PASSIVE or cell.queued or row_ids(cell):
            return
        address, kernel = cell.address, self._kernel
        await kernel.commits.flush()
        if kernel.hooks.concerns(address):  # others monitor it, or are linked to it
            return
        if not kernel.rows_of(address) and not await kernel.store.scan(ActorRow, address=address):
            raise AdministrationFailed(
                f"nothing is stored of {address}, and it doesn't run. `greenroom actors list` shows what there is"
            )

    async def _halt(self, cell: Cell) -> bool:
        """Stop an actor, and reserve its cell: a message that is told meanwhile waits for the next incarnation, because
        one that starts now would have the old state. Returns whether the actor was up.

        Raises:
            AdministrationFailed: it is busy, and goes on.
        """
        was_up = cell.status is UP
        if was_up:
            timeout_s = shutdown_seconds(cast(Spec, cell.spec).shutdown)
            await stop_cell(cell, ADMINISTRATION, timeout_s, then=PASSIVE)
        if cell.turn is not None or cell.queued:
            busy = f"{cell.address} is busy with a message, so nothing was changed"
            if was_up:
                await self._resume(cell, was_up, busy)
            raise AdministrationFailed(f"{busy}. Try again")
        cell.reserve()
        return was_up

    async def _resume(self, cell: Cell, was_up: bool, done: str = "") -> None:
        """Let an actor go on.

        Args:
            done: what was done to it, for the error of a start that fails; by default it was cleared.

        Raises:
            AdministrationFailed: it doesn't start.
        """
        supervisor = cell.supervisor
        if cell.on_demand:
            cell.to(PASSIVE)
            cell.wake()
        elif cell.address in self._tree.children.halted:
            return  # it was stopped before, and stays so
        elif supervisor is not None and supervisor.status is UP and (was_up or cell.status in (PASSIVE, STOPPED)):
            try:
                await start_cell(cell)
            except StartFailed as error:
                cell.to(STOPPED)
                why = f"{done or f'{cell.address} was cleared'}; and now it doesn't start: {error.reason}"
                remedy = f"Mend that, then: greenroom actors start {cell.address}"
                raise AdministrationFailed(f"{why}. {remedy}") from None
