"""ChildRows: the rows of each supervisor's children, so that a node that starts again has the children it had.

| status | the child | at the next boot |
| --- | --- | --- |
| planned | stands in the tree that the node was started with | starts |
| started | came by `StartChild` | starts; if that fails it is restarted under the intensity |
| stopped | was terminated; its spec is kept | stays stopped, until `RestartChild` |
| left | was planned, and the tree doesn't name it any more | stays stopped; planned again if the tree names it again |

The root has a row as well (supervisor ""). A supervisor's spec is stored without its children, which have rows of their
own. Children of a template, and temporary children that came by `StartChild`, have none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from loguru import logger

from ...persistence.commit.effects import Effects
from ...persistence.errors import RecordCorrupt
from ...persistence.store.checksums import seal, verify
from ...persistence.store.rows import ChildRow, Row
from ..errors import ConfigError
from ..spec.aliases import aliased_spec
from ..spec.resolution import check_child
from ..spec.spec import ChildSpec, Spec, SupervisorSpec, partition_specs

if TYPE_CHECKING:
    from ...actors.kernel.kernel import Kernel

__all__ = ("LEFT", "PLANNED", "STARTED", "STOPPED", "ChildRows", "Kept", "decode_spec", "encode_spec")

PLANNED, STARTED, STOPPED, LEFT = "planned", "started", "stopped", "left"

_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(ChildSpec | SupervisorSpec)


class Kept(msgspec.Struct, frozen=True):
    """A child that the store knows and the tree doesn't name."""

    spec: Spec
    status: str


def encode_spec(spec: Spec) -> str:
    """A spec as its row has it: a supervisor's without its children."""
    if isinstance(spec, SupervisorSpec):
        spec = msgspec.structs.replace(spec, children=())
    return msgspec.json.encode(spec).decode()


def decode_spec(text: str) -> Spec:
    """
    Raises:
        msgspec.MsgspecError: this is no spec (of this version).
    """
    spec: Spec = _DECODER.decode(text)
    return spec


class ChildRows:
    """The rows of all children, and the changes of them that are still to be written."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._rows: dict[str, dict[str, ChildRow]] = {}
        """By the address of the supervisor, then by the id of the child."""
        self._last: dict[str, int] = {}
        """The highest position that there is, or was, by the address of the supervisor."""
        self._changes: dict[tuple[str, str], ChildRow | None] = {}
        """By supervisor and id: the rows that are to be written, or None for one that is to be deleted."""
        self._submitted = 0
        """The position of the latest changes in the commit queue."""

    async def load(self) -> None:
        """Read every row. Damaged ones are left alone, and reported."""
        self._rows.clear()
        self._last.clear()
        self._changes.clear()
        self._submitted = 0
        async for row in self._kernel.store.iterate(ChildRow):
            try:
                verify(row)
            except RecordCorrupt as error:
                what = f"the node starts without what it says of {row.supervisor}/{row.id}"
                self._kernel.report_damage(error, what, row.supervisor)
                continue
            self._keep(row)

    # -- the boot: the tree's specs against the rows -----------------------------------------------------

    def plan(
        self, supervisor: str, parent: SupervisorSpec | None, specs: Sequence[Spec], *, named: bool = True
    ) -> tuple[dict[str, str], list[Kept]]:
        """Bring the rows of one supervisor's children up to the tree.

        Args:
            parent: the supervisor's spec; None for the row of the root.
            specs: the specs of the children that the tree names, in start order.
            named: whether the tree names the supervisor itself. If it doesn't, its children are what the rows say.

        Returns:
            The status of each child that the tree names, and the children that only the store knows.
        """
        rows = self._rows.get(supervisor, {})
        status: dict[str, str] = {}
        for place, spec in enumerate(specs):
            row = rows.get(spec.id)
            status[spec.id] = STOPPED if row is not None and row.status == STOPPED else PLANNED
            self._put(ChildRow(supervisor, spec.id, place, encode_spec(spec), status[spec.id]))
        kept: list[Kept] = []
        for row in sorted(rows.values(), key=lambda row: row.position):
            if row.id in status:
                continue
            usable = self._usable(row, parent)
            if usable is not None and self._kernel.settings.aliases.actors:
                row = row._replace(spec=encode_spec(usable))
                self._put(row)
            if row.status == PLANNED and named:
                self._put(row._replace(status=LEFT))
                logger.warning(
                    "{}/{} isn't in the tree any more: it stays, stopped. `greenroom actors delete` forgets it",
                    supervisor,
                    row.id,
                )
                row = row._replace(status=LEFT)
            if usable is not None:
                kept.append(Kept(usable, row.status))
        return status, kept

    def before(self, supervisor: str, child: str) -> Spec | None:
        """The spec that a child had when the node ran the last time, if that can be read."""
        row = self._rows.get(supervisor, {}).get(child)
        return None if row is None else self._decoded(row)

    def of(self, supervisor: str) -> Iterator[ChildRow]:
        yield from self._rows.get(supervisor, {}).values()

    def _decoded(self, row: ChildRow) -> Spec | None:
        try:
            return aliased_spec(decode_spec(row.spec), self._kernel.settings.aliases)
        except msgspec.MsgspecError as error:
            logger.error("{}/{} can't be restored: its stored spec can't be read: {}", row.supervisor, row.id, error)
            return None

    def _usable(self, row: ChildRow, parent: SupervisorSpec | None) -> Spec | None:
        """The spec of a child that the tree doesn't name; None if the code at hand can't run it."""
        spec = self._decoded(row)
        if spec is None:
            return None
        try:
            check_child(spec, parent)
        except ConfigError as error:
            logger.error("{}/{} can't be restored; its mail waits: {}", row.supervisor, row.id, error)
            return None
        return spec

    # -- while the node runs ---------------------------------------------------------------------------------

    def status(self, supervisor: str, child: str) -> str | None:
        row = self._rows.get(supervisor, {}).get(child)
        return None if row is None else row.status

    def add(self, supervisor: str, spec: Spec, status: str = STARTED) -> None:
        place = self._last.get(supervisor, -1) + 1
        self._put(ChildRow(supervisor, spec.id, place, encode_spec(spec), status))
        if isinstance(spec, SupervisorSpec):
            for child in (*spec.children, *partition_specs(spec)):
                self.add(f"{supervisor}/{spec.id}", child, PLANNED)

    def mark(self, supervisor: str, child: str, status: str) -> None:
        row = self._rows.get(supervisor, {}).get(child)
        if row is not None:
            self._put(row._replace(status=status))

    def respecify(self, supervisor: str, spec: Spec) -> None:
        """Write the spec that a child has from now on."""
        row = self._rows.get(supervisor, {}).get(spec.id)
        if row is not None:
            self._put(row._replace(spec=encode_spec(spec)))

    def reorder(self, supervisor: str, ids: Sequence[str]) -> None:
        """Write the start order of all children of a supervisor."""
        for place, child in enumerate(ids):
            row = self._rows.get(supervisor, {}).get(child)
            if row is not None:
                self._put(row._replace(position=place))

    def delete(self, supervisor: str, child: str) -> None:
        """Forget a child, and all that is below it."""
        if self._rows.get(supervisor, {}).pop(child, None) is not None:
            self._changes[supervisor, child] = None
        address = f"{supervisor}/{child}"
        for below in list(self._rows.get(address, ())):
            self.delete(address, below)

    def retire(self, supervisor: str, child: str) -> list[tuple[type[Row], Any]]:
        """As `delete`, but for another's commit: returns the rows that it has to delete."""
        self.delete(supervisor, child)
        keys = [key for key, row in self._changes.items() if row is None]
        for key in keys:
            del self._changes[key]
        return [(ChildRow, key) for key in keys]

    def _put(self, row: ChildRow) -> None:
        row = seal(row._replace(crc=0))
        if self._rows.get(row.supervisor, {}).get(row.id) != row:
            self._keep(row)
            self._changes[row.supervisor, row.id] = row

    def _keep(self, row: ChildRow) -> None:
        self._rows.setdefault(row.supervisor, {})[row.id] = row
        self._last[row.supervisor] = max(row.position, self._last.get(row.supervisor, -1))

    def submit(self) -> int:
        """Hand the changes to the committer, if there are any; returns the position of the latest ones in the commit
        queue, 0 if there never were any.

        Raises:
            StoreFull, StoreUnavailable
        """
        changes, self._changes = self._changes, {}
        if changes:
            self._submitted = self._kernel.commits.submit(
                Effects(
                    rows=[row for row in changes.values() if row is not None],
                    deletes=[(ChildRow, key) for key, row in changes.items() if row is None],
                )
            )
        return self._submitted

    async def commit(self) -> None:
        """Return once the changes are on disk, those that were submitted before included.

        Raises:
            StoreFull, StoreUnavailable
        """
        position = self.submit()
        if position:
            await self._kernel.commits.wait(position)
