"""ChildCommands: stop, start, restart and delete a child of a running node's tree, for the command line.

Each command asks the supervisor of the child (supervisor/requests.py), which acts in a turn of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from ...actors.delivery.ref import ref_to
from ...actors.execution.hook_turns import CANCEL_GRACE_S
from ...actors.extensions.introspection.suspension import SUSPENDED
from ...actors.kernel.cell import DOWN, GONE, PASSIVE, STARTING, STOPPED, STOPPING, UP, Cell
from ...actors.kernel.errors import ActorNotFound
from ...actors.messages.message import Request
from ..errors import AdministrationFailed, NotForDynamic, SupervisorError
from ..spec.spec import Spec, SupervisorSpec, shutdown_seconds
from ..supervisor.child_rows import LEFT
from ..supervisor.requests import DeleteChild, RestartChild, TerminateChild

if TYPE_CHECKING:
    from ...actors.kernel.kernel import Kernel
    from ..supervisor.tree import Tree

__all__ = ("ChildCommands", "shown_status")

ORDER_S = 8.0
"""Seconds that a request may wait for the supervisor's turn: less than the command line waits for it."""
START_S = 60.0
"""Seconds that a start may take: an `on_start` has as long as a handler, and that is the default."""
STOP_S_MAX = 3600.0
"""Seconds that a command waits for the stop of a child whose shutdown time is unlimited."""

_RUNNING = (UP, STARTING, STOPPING)


class ChildCommands:
    def __init__(self, kernel: Kernel, tree: Tree) -> None:
        self._kernel = kernel
        self._tree = tree
        self.commands: dict[str, Callable[[str, Any], Awaitable[Any]]] = {
            "actors.patience": self.patience,
            "actors.stop": self.stop,
            "actors.start": self.start,
            "actors.restart": self.restart,
            "actors.delete": self.delete,
        }

    async def patience(self, address: str, command: str) -> float:
        """How many seconds the child itself may need for a command (`actors.stop`, …)."""
        cell = self._kernel.cells.get(address)
        stop_s = 0.0 if cell is None or command == "actors.start" else self._stop_s(cell)
        starts = 0
        if command in ("actors.start", "actors.restart"):
            parent = self._kernel.cells.get(address.rpartition("/")[0])
            starts = 1 + (0 if parent is None else len(self._waiting(parent, cell)))
        return stop_s + starts * (START_S + ORDER_S)

    def _stop_s(self, cell: Cell) -> float:
        """How many seconds its stop may take, by the shutdown times of everything below it."""
        own = shutdown_seconds(cast(Spec, cell.spec).shutdown)
        if isinstance(cell.spec, SupervisorSpec):
            below = [self._stop_s(child) for child in self._tree.children.of(cell)]
            needed = max(below, default=0.0) if cell.spec.strategy == "dynamic" else sum(below)
            own = needed if own is None else min(own, needed)
        return min(STOP_S_MAX, STOP_S_MAX if own is None else own + CANCEL_GRACE_S)

    # -- the commands ------------------------------------------------------------------------------------

    async def stop(self, address: str, _: Any) -> Any:
        """Stop a child and what is below it; it stays stopped, in the next life of the node too."""
        parent, cell = self._find(address, "stop")
        if _makes_children(parent):
            if cell is not None:
                await self._ask(parent, TerminateChild(id=_id(address)), self._stop_s(cell))
            return {"address": address, "stopped": cell is not None, "kept": False, "on_demand": True}
        waiting = [other.address for other in self._waiting(parent, cell)]
        await self._ask(parent, TerminateChild(id=_id(address)), 0.0 if cell is None else self._stop_s(cell))
        return {"address": address, "stopped": True, "kept": cell is None or cell.status is not GONE, "with": waiting}

    async def start(self, address: str, _: Any) -> Any:
        """Start a child that is stopped."""
        parent, cell = self._find(address, "start")
        if cell is not None and cell.status in _RUNNING:
            raise AdministrationFailed(f"{address} is running already")
        if _makes_children(parent):
            return self._bring_back(address, "started")
        started = await self._ask(parent, RestartChild(id=_id(address)), START_S)
        return {"address": address, "started": started is not None}

    async def restart(self, address: str, _: Any) -> Any:
        """Stop a child and what is below it, and start it again."""
        parent, cell = self._find(address, "restart")
        if _makes_children(parent):
            if cell is not None:
                await self._ask(parent, TerminateChild(id=_id(address)), self._stop_s(cell))
            return self._bring_back(address, "restarted")
        if cast(SupervisorSpec, parent.spec).strategy == "dynamic":
            raise NotForDynamic(parent.address, _id(address))  # stopped, it would be forgotten
        if cell is not None and cast(Spec, cell.spec).restart == "temporary":
            raise AdministrationFailed(f"{address} is temporary: stopped, it is forgotten. It can't be restarted")
        waiting = self._waiting(parent, cell)
        if cell is not None and cell.status is not STOPPED:
            await self._ask(parent, TerminateChild(id=_id(address)), self._stop_s(cell))
        started = await self._ask(parent, RestartChild(id=_id(address)), START_S)
        for other in waiting:  # nothing else would start them now
            with suppress(SupervisorError):  # it has been started meanwhile
                await self._ask(parent, RestartChild(id=_id(other.address)), START_S)
        return {"address": address, "restarted": started is not None, "with": [other.address for other in waiting]}

    def _waiting(self, parent: Cell, cell: Cell | None) -> list[Cell]:
        """The siblings that were stopped for the restart of a child, and start with it. The restart itself waits."""
        if cell is None or cell.status is not DOWN:
            return []
        return [other for other in self._tree.children.of(parent) if other.status is PASSIVE and not other.on_demand]

    async def delete(self, address: str, _: Any) -> Any:
        """Forget a child that is stopped, and all that is below it."""
        parent, cell = self._find(address, "delete")
        if _makes_children(parent):
            why = "is made from a template, and has no spec of its own to forget"
            raise AdministrationFailed(f"{address} {why}: `greenroom actors retire` deletes its state and its mail")
        if cell is not None and cell.status in _RUNNING:
            raise AdministrationFailed(f"{address} is running: stop it first (greenroom actors stop {address})")
        planned = address in self._tree.children.planned
        await self._ask(parent, DeleteChild(id=_id(address)), 0.0)
        return {"address": address, "deleted": True, "planned": planned}

    def _bring_back(self, address: str, done: str) -> Any:
        """Let a child under a template start if mail waits for it."""
        cell = self._kernel.router.resolve(address)
        cell.wake()
        return {"address": address, done: cell.mailbox.count > 0, "on_demand": True}

    # -- the supervisor to ask -------------------------------------------------------------------------------------

    def _find(self, address: str, command: str) -> tuple[Cell, Cell | None]:
        """The supervisor of a child, and its cell if it has one.

        Raises:
            ActorNotFound: nothing in the tree has the address.
            AdministrationFailed: it is the root, or what is above it doesn't run.
        """
        cells = self._kernel.cells
        if self._kernel.root is not None and address == self._kernel.root.address:
            why = f"is the root of the tree, and can't be {_PAST[command]} alone"
            raise AdministrationFailed(f"{address} {why}: stop the node instead (Ctrl-C, or SIGTERM to its process)")
        parent = cells.get(address.rpartition("/")[0])
        if parent is None or not isinstance(parent.spec, SupervisorSpec):
            cell = self._kernel.router.resolve(address)  # which says what there is
            raise ActorNotFound(cell.address, "what is above it is no supervisor", "Name a child of a supervisor")
        above: Cell | None = parent
        while above is not None:
            if above.status is STOPPED:
                why = f"{above.address} is stopped, and all below it"
                raise AdministrationFailed(f"{why}: start that first (greenroom actors start {above.address})")
            above = above.supervisor
        return parent, cells.get(address)

    async def _ask(self, parent: Cell, request: Request[Any], seconds: float) -> Any:
        """
        Raises:
            SupervisorError, ConfigError, StartFailed, AskTimeout
        """
        return await ref_to(self._kernel, parent.address).ask(request, timeout_s=seconds + ORDER_S)


_PAST = {"stop": "stopped", "start": "started", "restart": "restarted", "delete": "deleted"}


def _id(address: str) -> str:
    return address.rpartition("/")[2]


def _makes_children(parent: Cell) -> bool:
    """Whether its children come with their first message, and have no specs of their own."""
    spec = parent.spec
    return isinstance(spec, SupervisorSpec) and spec.strategy == "dynamic" and spec.template is not None


def shown_status(tree: Tree, cell: Cell) -> str:
    """The status that a listing shows: it tells `restarting` and `left` from `stopped`."""
    if cell.suspended:
        return SUSPENDED
    if cell.status is DOWN:
        return "restarting"
    if cell.status is STOPPED or (cell.status is PASSIVE and not cell.on_demand):
        supervisor = "" if cell.supervisor is None else cell.supervisor.address
        return LEFT if tree.rows.status(supervisor, _id(cell.address)) == LEFT else "stopped"
    return cell.status
