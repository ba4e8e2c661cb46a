"""Tree: the cells of a tree of specs, and who is whose child.

It implements the system's `Activator`; dynamic children come and go in activation.py, what is stored of children is in
child_rows.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, cast

import msgspec

from ...actors.kernel.cell import Cell
from ...actors.kernel.status import STOPPED
from ...actors.messages.errors import ActorNotFound
from ...actors.messages.signals import ExitReason
from ...persistence.errors import GreenroomError, RecordCorrupt
from ...persistence.store.rows import ActorRow, ChildRow, MessageRow
from ..errors import ConfigError, Problem, TreeGaveUp
from ..spec.resolution import Recipe, check_child, make_recipe
from ..spec.spec import ChildSpec, Spec, SupervisorSpec, partition_specs, walk
from ..spec.validation import join
from .activation import Dynamic
from .child_rows import LEFT, ChildRows
from .child_rows import STARTED as ROW_STARTED
from .child_rows import STOPPED as ROW_STOPPED
from .incidents import Incidents
from .supervisor import Supervisor

if TYPE_CHECKING:
    from ...actors.system import ActorSystem

__all__ = ("Tree", "partition_of")

STATELESS = "null"
KINDS = ("dynamic", "partition")
"""Strategies that a supervisor has for life."""


def partition_of(key: str, partitions: int) -> int:
    """Which of so many partitions a key belongs to: the same on every machine, in every life."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest()) % partitions


class Tree:
    """The cells of one node's tree."""

    def __init__(self, system: ActorSystem, spec: SupervisorSpec) -> None:
        self.system = system
        self.spec = spec
        self.rows = ChildRows(system)
        self.incidents = Incidents(system)
        self.dynamic = Dynamic(self)
        self.last_words: tuple[str, ExitReason] | None = None
        """Who broke the camel's back: the child whose exit made a supervisor give up."""
        self.planned: set[str] = set()
        """Children that the tree names."""
        self.halted: set[str] = set()
        """Children that were terminated by administration: nobody but it starts them again."""
        self.passing: set[str] = set()
        """Temporary children that came by `StartChild`: they aren't kept."""
        self._children: dict[str, dict[str, Cell]] = {}
        self._renewed: dict[str, Spec] = {}
        """Specs that running children have from their next start."""

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
        store = self.system.store
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
        """Make the cells of every static child, those included that only the store knows. Returns the root's."""
        self.rows.plan("", None, [self.spec])
        return self._make(self.spec, None)

    def restarts_on_record(self, supervisor: str) -> list[float]:
        """The last life's charged restarts that still count, in monotonic seconds."""
        runtime = self.system.runtime
        shift = runtime.monotonic() - runtime.now()
        return [at + shift for at in self.incidents.history(supervisor)]

    def gave_up(self, reason: ExitReason) -> GreenroomError:
        """The error of a root that exited, with the child that brought it down."""
        history = () if self.last_words is None else (f"{self.last_words[0]} exited: {self.last_words[1]}",)
        return TreeGaveUp(self.spec_address, reason, history)

    @property
    def spec_address(self) -> str:
        return f"/{self.spec.id}"

    # -- who is whose child ----------------------------------------------------------------------------

    def children_of(self, cell: Cell) -> list[Cell]:
        """In start order."""
        return list(self._children.get(cell.address, {}).values())

    def siblings(self, supervisor: str) -> dict[str, Cell]:
        return self._children.setdefault(supervisor, {})

    def static_children_of(self, cell: Cell) -> list[Cell]:
        return [child for child in self.children_of(cell) if not child.on_demand]

    def child(self, parent: Cell, address: str) -> Cell | None:
        return self._children.get(parent.address, {}).get(address)

    def drop(self, child: Cell) -> None:
        """Forget a child, its spec, and all below it. State and mail wait in the store for whoever comes next."""
        for below in self.children_of(child):
            self.drop(below)
        child.fence(STOPPED)
        self.system.pending.keep_mail(child)
        self.system.remove(child)

    def forget(self, child: Cell) -> None:
        """It is nobody's child any more."""
        if child.supervisor is not None:
            siblings = self._children.get(child.supervisor.address, {})
            if siblings.get(child.address) is child:
                del siblings[child.address]
        self.halted.discard(child.address)
        self.passing.discard(child.address)
        self._renewed.pop(child.address, None)

    def retired(self, child: Cell) -> list[tuple[type[ChildRow], Any]]:
        """The rows to be deleted in the commit that retires a child: one that came by `StartChild` is gone for good."""
        if child.on_demand or child.supervisor is None:
            return []
        supervisor, spec = child.supervisor.address, cast(Spec, child.spec)
        if self.rows.status(supervisor, spec.id) != ROW_STARTED:
            return []
        return self.rows.retire(supervisor, spec.id)

    def started(self, cell: Cell) -> None:
        """A supervisor is up: mail may start its dynamic children now."""
        siblings = self._children.get(cell.address)
        if siblings:
            for child in siblings.values():
                if child.on_demand:
                    child.wake()

    async def reload(self) -> None:
        """The store failed, and is back: what it says holds."""
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
            cell = self._actor_cell(make_recipe(spec), address, supervisor)
        self.enter(cell)
        if named:
            self.planned.add(address)
        if isinstance(spec, SupervisorSpec):
            self._make_children(cell, spec, named=named, recorded=recorded)
        return cell

    def _make_children(self, cell: Cell, spec: SupervisorSpec, *, named: bool, recorded: bool) -> None:
        if spec.strategy == "dynamic" and spec.template is not None:
            self.dynamic.templates[cell.address] = make_recipe(spec.template)
        specs = (*spec.children, *partition_specs(spec))
        if not recorded:
            for child in specs:
                self._make(child, cell, named=False, recorded=False)
            return
        status, kept = self.rows.plan(cell.address, spec, specs, named=named)
        for child in specs:
            made = self._make(child, cell, named=named)
            if status[child.id] == ROW_STOPPED:
                self._halt(made)
        for found in kept:
            made = self._make(found.spec, cell, named=False)
            if found.status in (ROW_STOPPED, LEFT):
                self._halt(made)

    def _halt(self, cell: Cell) -> None:
        self.halted.add(cell.address)
        cell.fence(STOPPED)

    def _supervisor_cell(self, spec: SupervisorSpec, address: str, supervisor: Cell | None) -> Cell:
        definition = Supervisor.__definition__

        def args() -> dict[str, Any]:
            return {"spec": cell.spec, "tree": self}

        cell = Cell(self.system, address, definition, definition.options, args, supervisor=supervisor, spec=spec)
        return cell

    def _actor_cell(self, recipe: Recipe, address: str, supervisor: Cell | None) -> Cell:
        return Cell(
            self.system,
            address,
            recipe.cls.__definition__,
            recipe.options,
            recipe.kwargs,
            supervisor=supervisor,
            spec=recipe.spec,
        )

    def enter(self, cell: Cell) -> None:
        if cell.supervisor is not None:
            self._children.setdefault(cell.supervisor.address, {})[cell.address] = cell
        self.system.add(cell)

    def adopt(self, spec: Spec, supervisor: Cell) -> Cell:
        """The cell of a child that came by `StartChild`; its row has been written, unless it is temporary."""
        recorded = spec.restart != "temporary"
        cell = self._make(spec, supervisor, named=False, recorded=recorded)
        if not recorded:
            self.passing.add(cell.address)
        return cell

    # -- activation, partitions --------------------------------------------------------------------------------

    def activate(self, parent: Cell, key: str) -> Cell | None:
        """The cell for an address under a template; it starts with its first message."""
        return self.dynamic.activate(parent, key)

    def route(self, cell: Cell, key: str) -> str:
        """The address of the partition that a key belongs to.

        Raises:
            ActorNotFound: this is no partition supervisor.
        """
        spec = cell.spec
        if not isinstance(spec, SupervisorSpec) or spec.partitions is None:
            raise ActorNotFound(cell.address, 'it has no partitions: its strategy isn\'t "partition"')
        return f"{cell.address}/{partition_of(key, spec.partitions)}"

    async def stop_together(self, children: list[Cell]) -> None:
        await self.dynamic.stop_together(children)

    # -- new specs for what runs ----------------------------------------------------------------------------------

    def reconfigure(self, cell: Cell, spec: SupervisorSpec) -> None:
        """Give a supervisor other flags and child specs (`Reconfigure`). Nothing stops and nothing starts.

        Raises:
            ConfigError: there are mistakes; nothing was changed.
        """
        above = None if cell.supervisor is None else cast(SupervisorSpec, cell.supervisor.spec)
        check_child(spec, above)
        self._check_change(cell, spec)
        cell.spec = spec
        self._renewed.pop(cell.address, None)
        if spec.template is not None and spec.strategy == "dynamic":
            self.dynamic.templates[cell.address] = make_recipe(spec.template)
        if cell.supervisor is not None:
            self.rows.respecify(cell.supervisor.address, spec)
        siblings = self.siblings(cell.address)
        for child in spec.children:
            running = siblings.get(f"{cell.address}/{child.id}")
            if running is not None:
                self._renewed[running.address] = child
                at_once = {name: getattr(child, name) for name in ("restart", "shutdown", "significant")}
                running.spec = msgspec.structs.replace(cast(Spec, running.spec), **at_once)
                self.rows.respecify(cell.address, child)
            else:
                self.rows.add(cell.address, child, ROW_STOPPED)
                self._halt(self._make(child, cell, named=False))
        self._reorder(cell, [child.id for child in spec.children])

    def _reorder(self, cell: Cell, first: Sequence[str]) -> None:
        """The children of these ids come first in start order. OTP: supervisor.erl, `update_childspec`."""
        if not first:
            return
        siblings = self.siblings(cell.address)
        order = list(dict.fromkeys((*(f"{cell.address}/{one}" for one in first), *siblings)))
        self._children[cell.address] = {address: siblings[address] for address in order}
        self.rows.reorder(cell.address, [address.rpartition("/")[2] for address in order])

    def _check_change(self, cell: Cell, spec: SupervisorSpec) -> None:
        old = cast(SupervisorSpec, cell.spec)
        problems = [
            Problem(
                key=name, found=getattr(spec, name), expected=f"{getattr(old, name)!r}: that can't change in a life"
            )
            for name in ("id", "partitions")
            if getattr(spec, name) != getattr(old, name)
        ]
        if spec.strategy != old.strategy and (spec.strategy in KINDS or old.strategy in KINDS):
            expected = f"{old.strategy}: what makes it dynamic or partitioned can't change in a life"
            problems.append(Problem(key="strategy", found=spec.strategy, expected=expected))
        for place, child in enumerate(spec.children):
            running = self._children.get(cell.address, {}).get(f"{cell.address}/{child.id}")
            if running is None:
                continue
            at = f"children[{place}]"
            if isinstance(child, ChildSpec) is not isinstance(running.spec, ChildSpec):
                problems.append(Problem(key=at, why="an actor can't become a supervisor, nor the other way round"))
            elif isinstance(child, SupervisorSpec):
                problems += self._check_below(at, child, running)
            elif isinstance(child, ChildSpec) and make_recipe(child).options.durable is not running.durable:
                problems.append(Problem(key=f"{at}.durable", why="that can't change in a life"))
        if problems:
            raise ConfigError(cell.address, problems)

    def _check_below(self, key: str, spec: SupervisorSpec, running: Cell) -> list[Problem]:
        """What makes the children of a supervisor below can't be changed from above: it knows how they are."""
        old = cast(SupervisorSpec, self.spec_of(running))
        names = ["children", "template", "partitions"]
        if old.strategy in KINDS or spec.strategy in KINDS:
            names.append("strategy")
        return [
            Problem(key=f"{key}.{name}", why=f"it is changed by a Reconfigure of {running.address} itself")
            for name in names
            if getattr(spec, name) != getattr(old, name)
        ]

    def spec_of(self, child: Cell) -> Spec:
        """Its spec, as it is from its next start."""
        return self._renewed.get(child.address, cast(Spec, child.spec))

    def renew(self, child: Cell) -> None:
        """Before a start: the spec that it has from now on, if that has changed."""
        if not self._renewed:
            return
        spec = self._renewed.pop(child.address, None)
        if spec is None:
            return
        child.spec = spec
        if isinstance(spec, ChildSpec):
            recipe = make_recipe(spec)
            child.redefine(recipe.cls.__definition__, recipe.options, recipe.kwargs)
