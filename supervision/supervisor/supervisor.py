"""Supervisor: an actor whose children are actors.

It reacts to `Exited` (docs/semantics/supervision.md) and answers the requests of its administration
(requests.py); the rules are OTP's: supervisor(3). How it restarts is in restarts.py. Its mailbox is in memory, because
what it reacts to is, too; what must outlive the node is in rows.
"""

from __future__ import annotations

from typing import cast

from ...actors.actor import Actor, handler
from ...actors.kernel.cell import DOWN, GONE, PASSIVE, STARTING, STOPPED, STOPPING, UP, Cell
from ...actors.kernel.errors import StartFailed
from ...actors.messages.signals import Exited, ExitReason
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
from ..spec.stored_args import with_plain_args
from .child_rows import LEFT, PLANNED, STARTED
from .child_rows import STOPPED as ROW_STOPPED
from .children import Children
from .requests import (
    ChildCounts,
    ChildInfo,
    CountChildren,
    DeleteChild,
    GetChildSpec,
    Reconfigure,
    RestartChild,
    RestartRetry,
    StartChild,
    TerminateChild,
    WhichChildren,
)
from .restarts import Restarts
from .tree import Tree

__all__ = ("Supervisor",)

_SHOWN = {
    UP: "running",
    STARTING: "running",
    STOPPING: "running",
    DOWN: "restarting",
    PASSIVE: "stopped",
    STOPPED: "stopped",
}


class Supervisor(Actor[None]):
    """One supervisor of the tree. The tree makes its cell, and those of its children."""

    durable = False
    trap_exits = True  # a stranger's link must not take a tree down
    handler_timeout_s = None
    capacity = 1_000_000
    _supervises = True
    _answers = (SupervisorError, ConfigError, StartFailed)

    def __init__(self, *, spec: SupervisorSpec, tree: Tree, cell: Cell) -> None:
        self.tree = tree
        self.children = Children(tree, cell, spec)
        self.restarts = Restarts(self.children, self.stop)

    @property
    def spec(self) -> SupervisorSpec:
        return self.children.spec

    # -- start and stop ------------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Start the children in order; if one fails, stop the started ones in reverse and fail (OTP).

        A child that came by `StartChild` has started before: if it fails now, that is a restart that fails.
        """
        tree, children = self.tree, self.children
        self.restarts.recall()
        if tree.children.passing:
            for child in children.all():
                if child.address in tree.children.passing:  # OTP: a temporary child is never restarted
                    tree.children.drop(child)
        tree.bring_back(children.cell)
        for child in tree.children.static_of(children.cell):
            if child.address in tree.children.halted:
                tree.children.rest(child)
                continue
            try:
                await children.start(child)
            except StartFailed as error:
                if tree.rows.status(self.address, cast(Spec, child.spec).id) != STARTED:
                    await children.stop_in_reverse(children.all())
                    raise
                self.restarts.start_failed(child, error)

    async def on_stop(self, reason: ExitReason) -> None:
        self.restarts.cancel()
        await self.children.stop_in_reverse(self.children.all())

    # -- exits ---------------------------------------------------------------------------------------

    @handler
    async def exited(self, signal: Exited) -> None:
        child = self.children.find(signal.address)
        if child is None or child.status is not DOWN or child.last_exit != signal.incarnation:
            return  # stopped or started again meanwhile; or it retired
        await self.children.end_orphans(child)
        spec = cast(Spec, child.spec)
        reason = signal.reason
        if spec.restart == "permanent" or (spec.restart == "transient" and reason.kind in ("error", "killed")):
            await self.restarts.restart(child, reason, charged=signal.attempt <= 1 or self.spec.strict)
            return
        if reason.kind in ("error", "killed"):
            self.restarts.record(child, reason, f"not restarted: it is {spec.restart}", charged=False)
        if spec.restart == "temporary" or self.spec.strategy == "dynamic":
            self.children.forget(child)
        else:
            self.tree.children.rest(child)
        self._after_end(spec)

    def _after_end(self, spec: Spec) -> None:
        """A child has ended and isn't restarted: a significant one may end its supervisor (OTP: auto_shutdown)."""
        if not spec.significant or self.spec.auto_shutdown == "never":
            return
        if self.spec.auto_shutdown == "all_significant":
            running = [
                child
                for child in self.children.all()
                if cast(Spec, child.spec).significant and child.status not in (STOPPED, GONE, PASSIVE)
            ]
            if running:
                return
        self.stop(ExitReason.shutdown("its significant children have ended"))

    @handler
    async def retry(self, message: RestartRetry) -> None:
        await self.restarts.retry(message)

    # -- questions -----------------------------------------------------------------------------------

    @handler
    def which_children(self, _: WhichChildren) -> list[ChildInfo]:
        return [_info(child) for child in reversed(self.children.all())]

    @handler
    def count_children(self, _: CountChildren) -> ChildCounts:
        children = self.children.all()
        supervisors = sum(isinstance(child.spec, SupervisorSpec) for child in children)
        return ChildCounts(
            specs=len(children),
            active=sum(child.status in (UP, STARTING, STOPPING) for child in children),
            supervisors=supervisors,
            workers=len(children) - supervisors,
        )

    @handler
    def get_child_spec(self, message: GetChildSpec) -> ChildSpec | SupervisorSpec:
        return with_plain_args(self.tree.children.spec_of(self._child(message.id)))

    def _child(self, child_id: str) -> Cell:
        child = self.children.find(f"{self.address}/{child_id}")
        if child is None:
            raise ChildNotFound(self.address, child_id)
        return child

    # -- orders --------------------------------------------------------------------------------------

    @handler
    async def start_new_child(self, message: StartChild) -> str | None:
        spec, tree, children = message.spec, self.tree, self.children
        check_child(spec, self.spec)
        if self.spec.strategy == "partition" or self.spec.template is not None:
            why = "its children are made from its template, and come by themselves"
            raise ConfigError(self.address, [Problem(key="strategy", why=why)])
        known = children.find(f"{self.address}/{spec.id}")
        if known is not None:
            present = known.status in (STOPPED, PASSIVE, DOWN)
            raise (AlreadyPresent if present else AlreadyStarted)(self.address, spec.id)
        if self.spec.strategy == "dynamic" and len(tree.children.siblings(self.address)) >= self.spec.max_children:
            raise TooManyChildren(self.address, spec.id)
        if spec.restart != "temporary":  # OTP: what a temporary child was started with isn't kept
            tree.rows.add(self.address, spec)
            tree.rows.submit()
        await tree.kernel.commits.flush()  # mail that an earlier child of this address left is on disk then, too
        child = tree.adopt(spec, children.cell)
        try:
            started = await children.start(child)
        except StartFailed:
            await children.delete(child)
            raise
        if spec.restart != "temporary":
            tree.children.unname(child)  # there is another one of that id now
        return child.address if started else None

    @handler
    async def terminate_child(self, message: TerminateChild) -> None:
        tree, child = self.tree, self._child(message.id)
        if child.status is DOWN:
            tree.children.rest(child)  # it was about to be restarted
            self.restarts.end_wait(child)
        else:
            await self.children.stop(child, then=STOPPED)
        if child.on_demand:
            tree.children.drop(child)
        elif self.spec.strategy == "dynamic" or cast(Spec, child.spec).restart == "temporary":
            self.children.forget(child)
            await tree.rows.commit()
        else:
            tree.children.halted.add(child.address)
            if tree.rows.status(self.address, message.id) != LEFT:
                tree.rows.mark(self.address, message.id, ROW_STOPPED)
            await tree.rows.commit()

    @handler
    async def restart_child(self, message: RestartChild) -> str | None:
        tree, child = self.tree, self._stopped_child(message.id)
        planned = child.address in tree.children.planned
        tree.children.halted.discard(child.address)
        tree.rows.mark(self.address, message.id, PLANNED if planned else STARTED)
        await tree.rows.commit()
        try:
            return child.address if await self.children.start(child, keep=True) else None
        except StartFailed:
            tree.children.halt(child)
            tree.rows.mark(self.address, message.id, ROW_STOPPED)
            await tree.rows.commit()
            raise

    @handler
    async def delete_child(self, message: DeleteChild) -> None:
        child = self._stopped_child(message.id)
        if self.spec.strategy == "partition":
            why = "keys are routed to it. Change `partitions` in the tree"
            raise ConfigError(self.address, [Problem(key=message.id, why=why)])
        await self.children.delete(child)
        self.tree.children.unname(child)

    def _stopped_child(self, child_id: str) -> Cell:
        if self.spec.strategy == "dynamic":
            raise NotForDynamic(self.address, child_id)
        child = self._child(child_id)
        if child.status is DOWN:
            raise Restarting(self.address, child_id)
        if child.status not in (STOPPED, PASSIVE):
            raise Running(self.address, child_id)
        return child

    @handler
    async def reconfigure(self, message: Reconfigure) -> None:
        spec = message.spec
        self.tree.reconfigure(self.children.cell, spec)
        self.children.spec = spec
        self.restarts.intensity.limit = spec.intensity
        self.restarts.intensity.period_s = spec.period_s
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
