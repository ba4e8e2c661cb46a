"""Tree: makes the cells of a tree of specs, at the boot and when a child comes later.

The tree is the system's `Activator`. Which supervisor has which children is in child_table.py, what is stored of them
in child_rows.py; children under templates come and go in activation.py.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, cast

import msgspec

from ...actors.actor import Actor
from ...actors.kernel.cell import Cell
from ...actors.kernel.errors import ActorNotFound
from ...actors.messages.signals import ExitReason
from ...persistence.errors import GreenroomError, RecordCorrupt
from ...persistence.store.rows import ActorRow, MessageRow, Row
from ..errors import ConfigError, Problem, TreeGaveUp
from ..spec.fields import join
from ..spec.resolution import Resolution, check_child, resolve_spec
from ..spec.spec import Spec, SupervisorSpec, partition_specs, walk
from .activation import Activation
from .child_rows import LEFT, PLANNED, ChildRows
from .child_rows import STARTED as ROW_STARTED
from .child_rows import STOPPED as ROW_STOPPED
from .child_table import ChildTable
from .incidents import Incidents
from .reconfiguration import check_change

if TYPE_CHECKING:
    from ...actors.kernel.kernel import Kernel

__all__ = ("Tree", "partition_of")

STATELESS = "null"


def partition_of(key: str, partitions: int) -> int:
    """The number of the partition that a key belongs to: the same on every machine, in every life."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest()) % partitions


_NO_PARTITIONS = 'Give its spec strategy = "partition" and a template, or address its children themselves'


class Tree:
    """The cells of one node's tree."""

    def __init__(self, kernel: Kernel, spec: SupervisorSpec, *, supervisor: type[Actor[None]]) -> None:
        """
        Args:
            supervisor: the class of every supervisor; it is made with its spec, this tree and its cell.
        """
        self.kernel = kernel
        self.spec = spec
        self._supervisor = supervisor
        self.children = ChildTable(kernel)
        self.rows = ChildRows(kernel)
        self.incidents = Incidents(kernel)
        self.activation = Activation(kernel, self.children)
        self.last_words: tuple[str, ExitReason] | None = None
        """The child whose exit made a supervisor give up last, and the reason of that exit."""

    # -- the boot ------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Read what the store knows of the tree.

        Raises:
            ConfigError: the number of partitions was changed under state or mail.
        """
        await self.rows.load()
        await self.incidents.load()
        for address, spec in walk(self.spec):
            if isinstance(spec, SupervisorSpec) and spec.strategy == "partition":
                await self._check_partitions(address, spec)

    async def _check_partitions(self, address: str, spec: SupervisorSpec) -> None:
        before = self.rows.before(address.rpartition("/")[0], spec.id)
        if not isinstance(before, SupervisorSpec) or before.partitions in (None, spec.partitions):
            return
        store = self.kernel.store
        used: list[str] = []
        for old in partition_specs(before):
            partition = f"{address}/{old.id}"
            try:
                row = await store.get(ActorRow, partition)
            except RecordCorrupt:
                used.append(partition)
                continue
            if (row is not None and row.state != STATELESS) or await store.count(MessageRow, address=partition):
                used.append(partition)
        if used:
            why = f"{', '.join(used[:5])}{' …' if len(used) > 5 else ''} still have state or mail"
            hint = f"Go back to {before.partitions}, or empty them first: greenroom actors retire ADDRESS."
            expected = f"{before.partitions}, as before: {why}"
            problem = Problem(key=join(address, "partitions"), found=spec.partitions, expected=expected, hint=hint)
            raise ConfigError(f'SupervisorSpec "{self.spec.id}"', [problem])
        for old in partition_specs(before)[spec.partitions :]:
            self.rows.delete(address, old.id)

    def plant(self) -> Cell:
        """Make the cells of all static children, also of those that only the store knows. Returns the root's cell."""
        self.rows.plan("", None, [self.spec])
        return self._make(self.spec, None)

    def restarts_on_record(self, supervisor: str) -> list[float]:
        """The last life's charged restarts that still count, in monotonic seconds."""
        runtime = self.kernel.runtime
        shift = runtime.monotonic() - runtime.now()
        return [at + shift for at in self.incidents.history(supervisor)]

    def gave_up(self, reason: ExitReason) -> GreenroomError:
        """The error of a root that exited, with the child that brought it down."""
        history = () if self.last_words is None else (f"{self.last_words[0]} exited: {self.last_words[1]}",)
        return TreeGaveUp(self.spec_address, reason, history)

    @property
    def spec_address(self) -> str:
        return f"/{self.spec.id}"

    # -- what the kernel tells of a cell -----------------------------------------------------------------

    def forget(self, cell: Cell) -> None:
        """A cell is gone."""
        self.children.forget(cell)

    def retired(self, cell: Cell) -> list[tuple[type[Row], Any]]:
        """The rows to be deleted in the commit that retires a child: one that came by `StartChild` is gone for good."""
        if cell.on_demand or cell.supervisor is None:
            return []
        supervisor, spec = cell.supervisor.address, cast(Spec, cell.spec)
        if self.rows.status(supervisor, spec.id) != ROW_STARTED:
            return []
        return self.rows.retire(supervisor, spec.id)

    def started(self, cell: Cell) -> None:
        """A supervisor is up: mail may start its dynamic children now."""
        for child in self.children.of(cell):
            if child.on_demand:
                child.wake()

    async def reload(self) -> None:
        """The store failed, and is back: read the rows again."""
        await self.rows.load()

    # -- making cells ------------------------------------------------------------------------------------

    def _make(self, spec: Spec, supervisor: Cell | None, *, named: bool = True, recorded: bool = True) -> Cell:
        """The cell of a child and those below it.

        Args:
            named: whether the tree names it. recorded: whether it has a row.
        """
        address = f"{'' if supervisor is None else supervisor.address}/{spec.id}"
        if isinstance(spec, SupervisorSpec):
            cell = self._supervisor_cell(spec, address, supervisor)
        else:
            cell = self._actor_cell(resolve_spec(spec), address, supervisor)
        self.children.enter(cell)
        if named:
            self.children.planned.add(address)
        if isinstance(spec, SupervisorSpec):
            self._make_children(cell, spec, named=named, recorded=recorded)
        return cell

    def _make_children(self, cell: Cell, spec: SupervisorSpec, *, named: bool, recorded: bool) -> None:
        if spec.strategy == "dynamic" and spec.template is not None:
            self.activation.templates[cell.address] = resolve_spec(spec.template)
        own = self.children.named[cell.address] = {child.id: child for child in spec.children}
        specs = (*spec.children, *partition_specs(spec))
        if not recorded:
            for child in specs:
                self._make(child, cell, named=False, recorded=False)
            return
        status, kept = self.rows.plan(cell.address, spec, specs, named=named)
        for child in specs:
            made = self._make(child, cell, named=named)
            if status[child.id] == ROW_STOPPED:
                self.children.halt(made)
        for found in kept:
            made = self._make(found.spec, cell, named=False)
            if found.status == PLANNED:  # the row of a supervisor is without its children, which it names all the same
                own[found.spec.id] = found.spec
            if found.status in (ROW_STOPPED, LEFT):
                self.children.halt(made)

    def _supervisor_cell(self, spec: SupervisorSpec, address: str, supervisor: Cell | None) -> Cell:
        definition = self._supervisor.__definition__

        def args() -> dict[str, Any]:
            return {"spec": cell.spec, "tree": self, "cell": cell}

        cell = Cell(self.kernel, address, definition, definition.options, args, supervisor=supervisor, spec=spec)
        return cell

    def _actor_cell(self, resolution: Resolution, address: str, supervisor: Cell | None) -> Cell:
        return Cell(
            self.kernel,
            address,
            resolution.cls.__definition__,
            resolution.options,
            resolution.kwargs,
            supervisor=supervisor,
            spec=resolution.spec,
        )

    def bring_back(self, supervisor: Cell) -> None:
        """Before a supervisor's start: make the cells of temporary children that have ended, if its spec names them
        (OTP: it starts with what its `init` says)."""
        table, address = self.children, supervisor.address
        own = table.named.get(address, {})
        lost = [
            spec
            for spec in own.values()
            if spec.restart == "temporary" and table.find(supervisor, f"{address}/{spec.id}") is None
        ]
        for spec in lost:
            recorded = self.rows.status(address, spec.id) is not None
            self._make(spec, supervisor, named=f"{address}/{spec.id}" in table.planned, recorded=recorded)
        if lost:
            table.reorder(address, [one for one in own if table.find(supervisor, f"{address}/{one}") is not None])

    def adopt(self, spec: Spec, supervisor: Cell) -> Cell:
        """The cell of a child that came by `StartChild`; its row has been written, unless it is temporary."""
        recorded = spec.restart != "temporary"
        cell = self._make(spec, supervisor, named=False, recorded=recorded)
        if not recorded:
            self.children.passing.add(cell.address)
        return cell

    # -- activation, partitions --------------------------------------------------------------------------------

    def activate(self, parent: Cell, key: str) -> Cell | None:
        """The cell for an address under a template; it starts with its first message."""
        return self.activation.activate(parent, key)

    def route(self, cell: Cell, key: str) -> str:
        """The address of the partition that a key belongs to.

        Raises:
            ActorNotFound: this is no partition supervisor.
        """
        spec = cell.spec
        if not isinstance(spec, SupervisorSpec) or spec.partitions is None:
            raise ActorNotFound(cell.address, 'it has no partitions: its strategy isn\'t "partition"', _NO_PARTITIONS)
        return f"{cell.address}/{partition_of(key, spec.partitions)}"

    # -- new specs for what runs ----------------------------------------------------------------------------------

    def reconfigure(self, cell: Cell, spec: SupervisorSpec) -> None:
        """Give a supervisor other flags and child specs (`Reconfigure`). Nothing stops and nothing starts.

        Raises:
            ConfigError: there are mistakes; nothing was changed.
        """
        above = None if cell.supervisor is None else cast(SupervisorSpec, cell.supervisor.spec)
        check_child(spec, above)
        check_change(cell, spec, self.children)
        table = self.children
        cell.respecify(spec)
        table.renewed.pop(cell.address, None)
        if spec.template is not None and spec.strategy == "dynamic":
            self.activation.templates[cell.address] = resolve_spec(spec.template)
        if cell.supervisor is not None:
            self.rows.respecify(cell.supervisor.address, spec)
        table.named[cell.address] = {child.id: child for child in spec.children}
        for child in spec.children:
            running = table.find(cell, f"{cell.address}/{child.id}")
            if running is not None:
                table.renewed[running.address] = child
                at_once = {name: getattr(child, name) for name in ("restart", "shutdown", "significant")}
                running.respecify(msgspec.structs.replace(cast(Spec, running.spec), **at_once))
                self.rows.respecify(cell.address, child)
            else:
                self.rows.add(cell.address, child, ROW_STOPPED)
                table.halt(self._make(child, cell, named=False))
        if spec.children:
            self.rows.reorder(cell.address, table.reorder(cell.address, [child.id for child in spec.children]))
