"""ChildTable: which supervisor has which children, while the node runs.

The table stands below everything that makes, starts or stops children, so that the tree, the activation of children
under templates and the supervisors share it and don't need to know each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from ...actors.kernel.cell import STOPPED, Cell
from ..spec.resolution import resolve_spec
from ..spec.spec import ChildSpec, Spec

if TYPE_CHECKING:
    from ...actors.kernel.kernel import Kernel

__all__ = ("ChildTable",)


class ChildTable:
    """The cells of each supervisor's children, in start order, and what is said of single children."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._children: dict[str, dict[str, Cell]] = {}
        """By the supervisor's address, then by the child's."""
        self.planned: set[str] = set()
        """Children that the tree names."""
        self.halted: set[str] = set()
        """Children that administration has stopped: nothing but administration starts them again."""
        self.passing: set[str] = set()
        """Temporary children that came by `StartChild`: they have no rows."""
        self.named: dict[str, dict[str, Spec]] = {}
        """The children that each supervisor's own spec names, by its address, then by id, in start order."""
        self.renewed: dict[str, Spec] = {}
        """Specs that running children have from their next start, by address."""

    # -- looking up --------------------------------------------------------------------------------------

    def of(self, supervisor: Cell) -> list[Cell]:
        """The children of a supervisor, in start order."""
        return list(self._children.get(supervisor.address, {}).values())

    def static_of(self, supervisor: Cell) -> list[Cell]:
        """Its children but for those that a template makes, in start order."""
        return [child for child in self.of(supervisor) if not child.on_demand]

    def find(self, supervisor: Cell, address: str) -> Cell | None:
        """The child of a supervisor that has this address."""
        return self._children.get(supervisor.address, {}).get(address)

    def siblings(self, supervisor: str) -> dict[str, Cell]:
        """The children at a supervisor's address, by their addresses, in start order. To be read only."""
        return self._children.setdefault(supervisor, {})

    def spec_of(self, child: Cell) -> Spec:
        """The spec that a child has from its next start on."""
        return self.renewed.get(child.address, cast(Spec, child.spec))

    # -- coming, changing, going -------------------------------------------------------------------------

    def enter(self, cell: Cell) -> None:
        """A new cell is its supervisor's last child, and can be told messages."""
        if cell.supervisor is not None:
            self.siblings(cell.supervisor.address)[cell.address] = cell
        self._kernel.router.add(cell)

    def halt(self, child: Cell) -> None:
        """Keep a child that doesn't run from being started by anything but administration."""
        self.halted.add(child.address)
        self.rest(child)

    def rest(self, child: Cell) -> None:
        """A child that doesn't run isn't going to be started. Asks that wait at it, or below it, are refused."""
        child.fence(STOPPED)
        self._refuse_below(child)

    def _refuse_below(self, supervisor: Cell) -> None:
        for child in self._children.get(supervisor.address, {}).values():
            if child.mailbox.count:
                child.refuse_asks()
            self._refuse_below(child)

    def renew(self, child: Cell) -> None:
        """Before its start: give a child the spec that it has from now on, if that has changed."""
        if not self.renewed:
            return
        spec = self.renewed.pop(child.address, None)
        if spec is None:
            return
        child.respecify(spec)
        if isinstance(spec, ChildSpec):
            resolution = resolve_spec(spec)
            child.redefine(resolution.cls.__definition__, resolution.options, resolution.kwargs)

    def reorder(self, supervisor: str, first: Sequence[str]) -> list[str]:
        """Put the children with these ids first in start order; returns the ids of all in their new order."""
        siblings = self.siblings(supervisor)
        order = list(dict.fromkeys((*(f"{supervisor}/{one}" for one in first), *siblings)))
        self._children[supervisor] = {address: siblings[address] for address in order}
        return [address.rpartition("/")[2] for address in order]

    def names(self, child: Cell) -> bool:
        """Whether the spec of its supervisor names a child."""
        above, _, one = child.address.rpartition("/")
        return one in self.named.get(above, {})

    def unname(self, child: Cell) -> None:
        """The spec of its supervisor doesn't name a child any more."""
        above, _, one = child.address.rpartition("/")
        self.named.get(above, {}).pop(one, None)

    def drop(self, child: Cell) -> None:
        """Forget a child and all below it. Their states and mail stay in the store."""
        for below in self.of(child):
            self.drop(below)
        child.fence(STOPPED)
        self._kernel.index.keep_all(child.address, child.mailbox)
        self._kernel.router.remove(child)

    def forget(self, child: Cell) -> None:
        """A cell is gone: no supervisor has it as a child any more."""
        if child.supervisor is not None:
            siblings = self._children.get(child.supervisor.address, {})
            if siblings.get(child.address) is child:
                del siblings[child.address]
        self.named.pop(child.address, None)
        self.halted.discard(child.address)
        self.passing.discard(child.address)
        self.renewed.pop(child.address, None)
