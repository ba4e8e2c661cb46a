"""Administration: the commands that a running node carries out for the command line and other processes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

import msgspec

from ...actors.execution import lifecycle
from ...actors.extensions.introspection.observer import type_of
from ...actors.extensions.introspection.requests import Resume, Suspend, state_of
from ...actors.extensions.introspection.stack import stack_of
from ...actors.extensions.introspection.suspension import SUSPENDED
from ...actors.extensions.monitors.relations import ADMINISTRATION
from ...actors.kernel.cell import Cell
from ...actors.kernel.errors import ActorNotFound, StartFailed
from ...actors.kernel.status import PASSIVE, STOPPED, UP
from ...actors.mailbox.envelope import Envelope
from ...actors.mailbox.mailbox import Mailbox
from ...actors.recovery.belongings import rows_of
from ...persistence.commit.effects import Effects
from ...persistence.store.attempts import is_uid
from ...persistence.store.rows import ActorRow, DeadLetterRow, MessageRow
from ..errors import AdministrationFailed
from ..spec.spec import Spec, SupervisorSpec, shutdown_seconds
from ..supervisor.supervisor import Supervisor
from .child_commands import ChildCommands, shown_status
from .traces import Traces

if TYPE_CHECKING:
    from ...actors.extensions.timers.timer import Timer
    from ...actors.kernel.turn import Turn
    from ...actors.system import ActorSystem
    from ..supervisor.tree import Tree

__all__ = ("Administration", "AdministrationFailed")

SUSPEND_S = 8.0
"""Seconds that a `Suspend` may wait for its turn. The command line waits longer, so none is handled after that."""
TIMERS_SHOWN_MAX = 100
"""How many timers without rows `actors show` has of an actor."""
CHILDREN_MAX = 1_000
"""How many of its children a supervisor shows in its answer to `GetState`."""


class Administration:
    """Called with a command's name, an address and JSON arguments; the result is data."""

    def __init__(self, system: ActorSystem, tree: Tree) -> None:
        self._system = system
        self._tree = tree
        self._one_by_one = asyncio.Lock()
        """Requeues go one by one, so that no letter is requeued twice."""
        self._commands: dict[str, Callable[[str, Any], Awaitable[Any]]] = {
            "actors.live": self.live,
            "actors.reset": self.reset,
            "actors.retire": self.retire,
            "actors.suspend": self.suspend,
            "actors.resume": self.resume,
            "actors.trace": Traces(system).poll,
            **ChildCommands(system, tree).commands,
            "dead.requeue": self.requeue,
            "dead.discard": self.discard,
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

    async def live(self, address: str, limits: dict[str, Any] | None) -> list[dict[str, Any]]:
        """The cells at or below an address as the node knows them, in the order of their addresses.

        `limits` may have `after` (an address) and `limit` for one page; `per_parent` for at most so many children
        of each supervisor; `stack` to add the stacks of handlers that wait, the number of stashed messages, and
        timers without rows.
        """
        limits = limits or {}
        below = address.rstrip("/") + "/"
        after = limits.get("after", "")
        names = sorted(
            name for name in self._system.cells if (name == address or name.startswith(below)) and name > after
        )[: limits.get("limit")]
        if "per_parent" in limits:
            return self._pruned(names, limits["per_parent"])
        cells = [self._system.cells[name] for name in names]
        if limits.get("stack"):
            return [{**self._describe(cell), **self._inside(cell)} for cell in cells]
        return [self._describe(cell) for cell in cells]

    def _pruned(self, names: list[str], per_parent: int) -> list[dict[str, Any]]:
        """All static children, and dynamic ones up to a number, with how many more there are."""
        cells = self._system.cells
        found: dict[str, dict[str, Any]] = {}
        children: dict[str, int] = {}
        for name in names:
            cell = cells[name]
            above = name.rpartition("/")[0]
            if cell.on_demand:
                children[above] = children.get(above, 0) + 1
                if children[above] > per_parent:
                    if above in found:
                        found[above]["hidden"] = children[above] - per_parent
                    continue
            found[name] = self._describe(cell)
        return list(found.values())

    def _describe(self, cell: Cell) -> dict[str, Any]:
        turn = cell.turn
        return {
            "address": cell.address,
            "kind": "supervisor" if isinstance(cell.spec, SupervisorSpec) else "actor",
            "status": shown_status(self._tree, cell),
            "type": cell.definition.stored_type,
            "incarnation": 0 if cell.incarnation is None else cell.incarnation.number,
            "started": None if cell.incarnation is None else cell.incarnation.started,
            "mailbox": cell.mailbox.count,
            "handling": None if turn is None else _handled(turn),
            "since": None if turn is None else turn.since or None,
        }

    def _inside(self, cell: Cell) -> dict[str, Any]:
        """The facts that only the node knows, and that a listing has no room for."""
        timers = sorted(self._system.timers.of(cell.address).values(), key=lambda timer: timer.due)
        unstored = [timer for timer in timers if not timer.stored][:TIMERS_SHOWN_MAX]
        found: dict[str, Any] = {"stack": _stack(cell), "timers": [_timer(timer) for timer in unstored]}
        if cell.stash:
            found["stashed"] = len(cell.stash)
        return found

    # -- actors --------------------------------------------------------------------------------------

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

    # -- dead letters --------------------------------------------------------------------------------------

    async def requeue(self, _: str, ids: list[int]) -> Any:
        """Put dead letters back into their mailboxes, as new messages without failed attempts."""
        async with self._one_by_one:
            return await self._requeue(list(dict.fromkeys(ids)))

    async def _requeue(self, ids: list[int]) -> Any:
        done = 0
        for letter_id in ids:
            letter = await self._system.store.get(DeadLetterRow, letter_id)
            if letter is None:
                raise AdministrationFailed(f"there is no dead letter {letter_id} ({done} were requeued)")
            cell = self._system.resolve(letter.address)
            uid = letter.uid if is_uid(letter.uid) else self._system.next_uid()  # parked because it was damaged
            envelope = Envelope(letter.address, uid, None, letter.type, letter.body.encode())
            envelope.sender = letter.sender
            self._system.delivery.accept(cell, envelope, deletes=((DeadLetterRow, letter_id),))
            done += 1
        await self._system.committer.flush()
        return {"requeued": done}

    async def discard(self, _: str, ids: list[int]) -> Any:
        """Delete dead letters."""
        for letter_id in ids:
            if not await self._system.store.scan(DeadLetterRow, id=letter_id):  # a damaged one can be discarded, too
                raise AdministrationFailed(f"there is no dead letter {letter_id}")
        self._system.committer.submit(Effects(deletes=[(DeadLetterRow, letter_id) for letter_id in ids]))
        await self._system.committer.flush()
        return {"discarded": len(ids)}


def _handled(turn: Turn) -> str:
    return type_of(turn) if turn.message is None else type(turn.message).__name__


def _status(cell: Cell) -> str:
    return SUSPENDED if cell.suspended else cell.status


def _stack(cell: Cell) -> list[dict[str, Any]]:
    """The stack of its handler if one waits, else nothing."""
    turn = cell.turn
    return [] if turn is None else [msgspec.structs.asdict(frame) for frame in stack_of(turn.coroutine)]


def _timer(timer: Timer) -> dict[str, Any]:
    body = msgspec.json.decode(timer.body)
    return {"name": timer.name, "due": timer.due, "rule": str(timer.schedule), "type": timer.tag, "body": body}


@state_of.register
def _children(supervisor: Supervisor) -> Any:
    """The state that a supervisor shows: its children, in start order."""
    children = supervisor.children.all()
    shown = [{"id": child.address.rpartition("/")[2], "status": _status(child)} for child in children[:CHILDREN_MAX]]
    return {"children": shown, "hidden": len(children) - len(shown)}
