"""Places: what the tree, with the children that the store knows, has at an address; without starting anything.

places = Places(tree, store, aliases)
place = await places.find("/bank/accounts/alice")       # under a template: an actor, like all its neighbours
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
from ..spec.resolution import make_recipe
from ..spec.spec import ChildSpec, Spec, SupervisorSpec, walk
from ..spec.validation import DEPTH_MAX, ID_LENGTH_MAX
from ..supervisor.child_rows import LEFT, PLANNED, decode_spec
from ..supervisor.supervisor import Supervisor

__all__ = ("Place", "Places")

KNOWN_MAX = 10_000
"""Places of stored children that are kept in memory."""

Kind = Literal["actor", "supervisor", "left", "transient", "unusable", "absent"]


class Place(NamedTuple):
    """What there is at an address."""

    kind: Kind
    """actor, supervisor; left: it was planned, and isn't named any more; transient: nothing, below a supervisor whose
    children come by `StartChild`; unusable: a stored child that this code can't start; absent: nothing."""
    pattern: str
    """The address; with `*` for its last part, where all below the same supervisor are alike."""
    definition: Definition | None = None
    """An actor's."""
    durable: bool = True
    spec: Spec | None = None
    why: str = ""
    """Why it is unusable."""


class Places:
    def __init__(self, tree: SupervisorSpec, store: Store, aliases: Aliases) -> None:
        self._store = store
        self._aliases = aliases
        self._static: dict[str, Place] = {address: _place(spec, address) for address, spec in walk(tree)}
        self._templates: dict[str, Place | None] = {
            address: _template(spec, address) for address, spec in walk(tree) if isinstance(spec, SupervisorSpec)
        }
        self._known: dict[str, Place] = {}
        """Of stored children; emptied when it is full."""

    @property
    def addresses(self) -> list[str]:
        """Those that the tree names."""
        return list(self._static)

    def named(self, address: str) -> bool:
        """Whether the tree itself names it."""
        return address in self._static

    async def find(self, address: str) -> Place:
        static = self._static.get(address)
        if static is not None:
            return static
        above, _, key = address.rpartition("/")
        template = self._templates.get(above)
        if template is not None:
            return template if _is_key(key) else Place("absent", address)
        if above.count("/") > DEPTH_MAX or not above:
            return Place("absent", f"{above}/*" if above else address)
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            known = self._known[address] = await self._stored(above, key)
        return known

    async def _stored(self, above: str, key: str) -> Place:
        """What is below a supervisor that isn't the place of a template of the tree."""
        pattern = f"{above}/*"
        parent = await self.find(above)
        if parent.kind not in ("supervisor", "left"):
            return Place("absent", pattern)
        spec = parent.spec
        template = _template(spec, above) if isinstance(spec, SupervisorSpec) else None
        if template is not None:
            return template._replace(kind=template.kind if parent.kind == "supervisor" else "left")
        try:
            row = await self._store.get(ChildRow, above, key)
        except RecordCorrupt:
            return Place("unusable", pattern, why="the record of the child is damaged")
        if row is None:
            transient = isinstance(spec, SupervisorSpec) and spec.strategy == "dynamic"
            return Place("transient" if transient else "absent", pattern)
        if parent.kind == "left" or row.status == LEFT or (row.status == PLANNED and self.named(above)):
            return Place("left", pattern, spec=_decoded(row, self._aliases))
        return self.of_row(row)

    def of_row(self, row: ChildRow) -> Place:
        """What becomes of a stored child that is to be started."""
        spec = _decoded(row, self._aliases)
        address = f"{row.supervisor}/{row.id}"
        if spec is None:
            return Place("unusable", address, why="its stored spec isn't one of this version")
        return _place(spec, address)


def _is_key(key: str) -> bool:
    return 0 < len(key) <= ID_LENGTH_MAX and key.isprintable()


def _decoded(row: ChildRow, aliases: Aliases) -> Spec | None:
    try:
        return aliased_spec(decode_spec(row.spec), aliases)
    except msgspec.MsgspecError:
        return None


def _place(spec: Spec, address: str) -> Place:
    if isinstance(spec, SupervisorSpec):
        return Place("supervisor", address, Supervisor.__definition__, durable=False, spec=spec)
    return _actor(spec, address)


def _template(spec: SupervisorSpec, address: str) -> Place | None:
    """What all addresses below a supervisor are alike; None if it has no template for them."""
    if spec.strategy != "dynamic" or spec.template is None:
        return None
    return _actor(spec.template, f"{address}/*")


def _actor(spec: ChildSpec, pattern: str) -> Place:
    try:
        recipe = make_recipe(spec)
    except ConfigError as error:
        return Place("unusable", pattern, spec=spec, why="; ".join(str(problem) for problem in error.problems))
    return Place("actor", pattern, recipe.cls.__definition__, recipe.options.durable, spec)
