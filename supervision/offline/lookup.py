"""Lookup: which child is at an address, by the tree and by the children that the store knows. Nothing is started.

lookup = Lookup(tree, store, aliases)
found = await lookup.find("/bank/accounts/alice")       # under a template: an actor, like all its neighbours
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from ...actors.definition.definition import Definition
from ...actors.messages.aliases import Aliases
from ...persistence.errors import RecordCorrupt
from ...persistence.store.contract import Store
from ...persistence.store.rows import ChildRow
from ..errors import ConfigError
from ..spec.aliases import aliased_spec
from ..spec.fields import is_key
from ..spec.resolution import resolve_spec
from ..spec.spec import ChildSpec, Spec, SupervisorSpec, walk
from ..spec.validation import DEPTH_MAX
from ..supervisor.child_rows import LEFT, PLANNED, decode_spec
from ..supervisor.supervisor import Supervisor

__all__ = ("Found", "Lookup")

KNOWN_MAX = 10_000
"""How many stored children are kept in memory."""

Kind = Literal["actor", "supervisor", "left", "transient", "unusable", "absent"]


class Found(NamedTuple):
    """The child that is at an address, or the reason why there is none."""

    kind: Kind
    """actor, supervisor; left: it was planned, and the tree doesn't name it any more; transient: nothing,
    below a supervisor whose children come by `StartChild`; unusable: a stored child that this code can't
    start; absent: nothing."""
    pattern: str
    """The address; with `*` for its last part, where all below the same supervisor are alike."""
    definition: Definition | None = None
    """The definition of an actor's class."""
    durable: bool = True
    spec: Spec | None = None
    why: str = ""
    """Why it is unusable."""


class Lookup:
    def __init__(self, tree: SupervisorSpec, store: Store, aliases: Aliases) -> None:
        self._store = store
        self._aliases = aliases
        self._static: dict[str, Found] = {address: _found(spec, address) for address, spec in walk(tree)}
        self._templates: dict[str, Found | None] = {
            address: _template(spec, address) for address, spec in walk(tree) if isinstance(spec, SupervisorSpec)
        }
        self._known: dict[str, Found] = {}
        """Stored children that were looked up, by address. It is emptied when it is full."""

    @property
    def addresses(self) -> list[str]:
        """The addresses that the tree names."""
        return list(self._static)

    def named(self, address: str) -> bool:
        """Whether the tree itself names the address."""
        return address in self._static

    async def find(self, address: str) -> Found:
        static = self._static.get(address)
        if static is not None:
            return static
        above, _, key = address.rpartition("/")
        template = self._templates.get(above)
        if template is not None:
            return template if is_key(key) else Found("absent", address)
        if above.count("/") > DEPTH_MAX or not above:
            return Found("absent", f"{above}/*" if above else address)
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            known = self._known[address] = await self._stored(above, key)
        return known

    async def _stored(self, above: str, key: str) -> Found:
        """The stored child `key` of a supervisor that has no template in the tree."""
        pattern = f"{above}/*"
        parent = await self.find(above)
        if parent.kind not in ("supervisor", "left"):
            return Found("absent", pattern)
        spec = parent.spec
        template = _template(spec, above) if isinstance(spec, SupervisorSpec) else None
        if template is not None:
            return template._replace(kind=template.kind if parent.kind == "supervisor" else "left")
        try:
            row = await self._store.get(ChildRow, above, key)
        except RecordCorrupt:
            return Found("unusable", pattern, why="the record of the child is damaged")
        if row is None:
            transient = isinstance(spec, SupervisorSpec) and spec.strategy == "dynamic"
            return Found("transient" if transient else "absent", pattern)
        if parent.kind == "left" or row.status == LEFT or (row.status == PLANNED and self.named(above)):
            return Found("left", pattern, spec=_decoded(row, self._aliases))
        return self.of_row(row)

    def of_row(self, row: ChildRow) -> Found:
        """The child that a stored row makes."""
        spec = _decoded(row, self._aliases)
        address = f"{row.supervisor}/{row.id}"
        if spec is None:
            return Found("unusable", address, why="its stored spec isn't one of this version")
        return _found(spec, address)


def _decoded(row: ChildRow, aliases: Aliases) -> Spec | None:
    try:
        return aliased_spec(decode_spec(row.spec), aliases)
    except msgspec.MsgspecError:
        return None


def _found(spec: Spec, address: str) -> Found:
    if isinstance(spec, SupervisorSpec):
        return Found("supervisor", address, Supervisor.__definition__, durable=False, spec=spec)
    return _actor(spec, address)


def _template(spec: SupervisorSpec, address: str) -> Found | None:
    """The child that every address below a supervisor has; None if the supervisor has no template."""
    if spec.strategy != "dynamic" or spec.template is None:
        return None
    return _actor(spec.template, f"{address}/*")


def _actor(spec: ChildSpec, pattern: str) -> Found:
    try:
        resolution = resolve_spec(spec)
    except ConfigError as error:
        return Found("unusable", pattern, spec=spec, why="; ".join(str(problem) for problem in error.problems))
    return Found("actor", pattern, resolution.cls.__definition__, resolution.options.durable, spec)
