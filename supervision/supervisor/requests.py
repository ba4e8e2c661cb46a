"""Administered: the requests that a supervisor answers. The rules are OTP's: supervisor(3), `start_child` and so on."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ...actors.actor import Actor, handler
from ...actors.kernel.cell import Cell
from ...actors.kernel.status import DOWN, PASSIVE, STARTING, STOPPED, STOPPING, UP
from ...actors.messages.errors import StartFailed
from ..errors import (
    AlreadyPresent,
    AlreadyStarted,
    ChildNotFound,
    ConfigError,
    NotForDynamic,
    Problem,
    Restarting,
    Running,
    SupervisorError,
    TooManyChildren,
)
from ..spec.resolution import check_child
from ..spec.spec import ChildSpec, Spec, SupervisorSpec
from .child_rows import LEFT, PLANNED, STARTED
from .child_rows import STOPPED as ROW_STOPPED
from .intensity import Intensity
from .protocol import (
    ChildCounts,
    ChildInfo,
    CountChildren,
    DeleteChild,
    GetChildSpec,
    Reconfigure,
    RestartChild,
    StartChild,
    TerminateChild,
    WhichChildren,
)

if TYPE_CHECKING:
    from .tree import Tree

__all__ = ("Administered",)

_SHOWN = {
    UP: "running",
    STARTING: "running",
    STOPPING: "running",
    DOWN: "restarting",
    PASSIVE: "stopped",
    STOPPED: "stopped",
}


class Administered(Actor[None]):
    """What a supervisor has of its administration; `Supervisor` adds the supervision."""

    _supervises = True
    _answers = (SupervisorError, ConfigError, StartFailed)

    spec: SupervisorSpec
    tree: Tree
    intensity: Intensity

    if TYPE_CHECKING:

        @property
        def cell(self) -> Cell: ...

        @property
        def children(self) -> list[Cell]: ...

        async def start_child(self, child: Cell) -> bool: ...

        async def stop_child(self, child: Cell, *, then: str = PASSIVE) -> None: ...

        def forget(self, child: Cell) -> None: ...

        def end_wait(self, child: Cell) -> None: ...

    def _child(self, child_id: str) -> Cell:
        cell = self.tree.child(self.cell, f"{self.address}/{child_id}")
        if cell is None:
            raise ChildNotFound(self.address, child_id)
        return cell

    # -- questions ---------------------------------------------------------------------------------------

    @handler
    def which_children(self, _: WhichChildren) -> list[ChildInfo]:
        return [_info(child) for child in reversed(self.children)]

    @handler
    def count_children(self, _: CountChildren) -> ChildCounts:
        children = self.children
        supervisors = sum(isinstance(child.spec, SupervisorSpec) for child in children)
        return ChildCounts(
            specs=len(children),
            active=sum(child.status in (UP, STARTING, STOPPING) for child in children),
            supervisors=supervisors,
            workers=len(children) - supervisors,
        )

    @handler
    def get_child_spec(self, message: GetChildSpec) -> ChildSpec | SupervisorSpec:
        return self.tree.spec_of(self._child(message.id))

    # -- orders ------------------------------------------------------------------------------------------

    @handler
    async def start_new_child(self, message: StartChild) -> str | None:
        spec, tree = message.spec, self.tree
        check_child(spec, self.spec)
        if self.spec.strategy == "partition" or self.spec.template is not None:
            why = "its children are made from its template, and come by themselves"
            raise ConfigError(self.address, [Problem(key="strategy", why=why)])
        known = tree.child(self.cell, f"{self.address}/{spec.id}")
        if known is not None:
            present = known.status in (STOPPED, PASSIVE, DOWN)
            raise (AlreadyPresent if present else AlreadyStarted)(self.address, spec.id)
        if self.spec.strategy == "dynamic" and len(tree.siblings(self.address)) >= self.spec.max_children:
            raise TooManyChildren(self.address, spec.id)
        if spec.restart != "temporary":  # OTP: what a temporary child was started with isn't kept
            tree.rows.add(self.address, spec)
            tree.rows.submit()
        await tree.system.committer.flush()  # mail that an earlier child of this address left is on disk then, too
        child = tree.adopt(spec, self.cell)
        try:
            started = await self.start_child(child)
        except StartFailed:
            await self._forget(child)
            raise
        return child.address if started else None

    @handler
    async def terminate_child(self, message: TerminateChild) -> None:
        child = self._child(message.id)
        if child.status is DOWN:
            child.fence(STOPPED)  # it was about to be restarted
            self.end_wait(child)
        else:
            await self.stop_child(child, then=STOPPED)
        if child.on_demand:
            self.tree.drop(child)
        elif self.spec.strategy == "dynamic" or cast(Spec, child.spec).restart == "temporary":
            await self._forget(child)
        else:
            self.tree.halted.add(child.address)
            if self.tree.rows.status(self.address, message.id) != LEFT:
                self.tree.rows.mark(self.address, message.id, ROW_STOPPED)
            await self.tree.rows.commit()

    @handler
    async def restart_child(self, message: RestartChild) -> str | None:
        child = self._stopped_child(message.id)
        self.tree.halted.discard(child.address)
        self.tree.rows.mark(self.address, message.id, PLANNED if child.address in self.tree.planned else STARTED)
        await self.tree.rows.commit()
        try:
            return child.address if await self.start_child(child) else None
        except StartFailed:
            child.fence(STOPPED)
            self.tree.halted.add(child.address)
            self.tree.rows.mark(self.address, message.id, ROW_STOPPED)
            await self.tree.rows.commit()
            raise

    @handler
    async def delete_child(self, message: DeleteChild) -> None:
        child = self._stopped_child(message.id)
        if self.spec.strategy == "partition":
            why = "keys are routed to it. Change `partitions` in the tree"
            raise ConfigError(self.address, [Problem(key=message.id, why=why)])
        await self._forget(child)

    def _stopped_child(self, child_id: str) -> Cell:
        if self.spec.strategy == "dynamic":
            raise NotForDynamic(self.address, child_id)
        child = self._child(child_id)
        if child.status is DOWN:
            raise Restarting(self.address, child_id)
        if child.status not in (STOPPED, PASSIVE):
            raise Running(self.address, child_id)
        return child

    async def _forget(self, child: Cell) -> None:
        """The spec goes, with its row; state and mail stay."""
        self.tree.rows.delete(self.address, cast(Spec, child.spec).id)
        await self.tree.rows.commit()
        self.tree.drop(child)

    @handler
    async def reconfigure(self, message: Reconfigure) -> None:
        self.tree.reconfigure(self.cell, message.spec)
        self.spec = message.spec
        self.intensity.limit = message.spec.intensity
        self.intensity.period_s = message.spec.period_s
        await self.tree.rows.commit()


def _info(child: Cell) -> ChildInfo:
    spec = cast(Spec, child.spec)
    shown = "passive" if child.on_demand and child.status is PASSIVE else _SHOWN[child.status]
    return ChildInfo(
        id=child.address.rpartition("/")[2],
        address=child.address,
        status=shown,  # type: ignore[arg-type]
        kind="actor" if isinstance(spec, ChildSpec) else "supervisor",
        actor=str(spec.actor) if isinstance(spec, ChildSpec) else None,
    )
