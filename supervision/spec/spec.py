"""ChildSpec, SupervisorSpec: the one data model of trees in code, in config files and in the store.

    tree = SupervisorSpec(id="bank", strategy="rest_for_one", children=[
        ChildSpec(id="ledger", actor=Ledger, args={"currency": "EUR"}),
        SupervisorSpec(id="accounts", strategy="dynamic", template=ChildSpec(id="account", actor=Account)),
    ])
    check_tree(tree)

A spec is plain data: where code gives a class, the spec keeps its reference (`"bank:Ledger"`), so that it encodes,
decodes and compares like a spec that was read from a file. To make a spec checks nothing; `check_tree` checks all of it
and reports every problem at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypedDict, cast

import msgspec

from ...actors.definition.options import Backoff
from .backoff import RestartBackoff
from .references import refer

if TYPE_CHECKING:
    from ...actors.actor import Actor

    ActorClass = type[Actor[Any]] | str
    ErrorClass = type[Exception] | str
    BackoffChanges = Backoff | Mapping[str, float]
    RestartBackoffTable = RestartBackoff | Mapping[str, float]
else:

    class RestartBackoffTable(TypedDict, total=False):
        """How long a child that exits again and again waits for its restart."""

        initial_s: Annotated[float, msgspec.Meta(ge=0)]
        factor: Annotated[float, msgspec.Meta(ge=1)]
        max_s: Annotated[float, msgspec.Meta(ge=0)]
        jitter: Annotated[float, msgspec.Meta(ge=0, le=1)]
        reset_s: Annotated[float, msgspec.Meta(gt=0)]

    class BackoffChanges(TypedDict, total=False):
        """How long a failed message waits. A key that isn't given stays as the class has it."""

        initial_s: Annotated[float, msgspec.Meta(ge=0)]
        factor: Annotated[float, msgspec.Meta(ge=1)]
        max_s: Annotated[float, msgspec.Meta(ge=0)]
        jitter: Annotated[float, msgspec.Meta(ge=0, le=1)]

    ActorClass = Annotated[
        str,
        msgspec.Meta(
            title="actor class",
            description='"module:Class", imported from the config file\'s folder or sys.path',
            pattern=r"^[^:\s]+:[^:\s]+$",
            examples=["bank:Ledger"],
        ),
    ]
    ErrorClass = Annotated[
        str,
        msgspec.Meta(
            title="exception class",
            description='"module:Class", or the bare name of a builtin exception',
            pattern=r"^([^:\s]+:)?[^:\s]+$",
            examples=["ValueError"],
        ),
    ]

__all__ = (
    "MAX_CHILDREN",
    "AutoShutdown",
    "ChildSpec",
    "Restart",
    "RestartBackoff",
    "Shutdown",
    "Spec",
    "Strategy",
    "SupervisorSpec",
    "partition_specs",
    "shutdown_seconds",
    "to_config",
    "walk",
)

MAX_CHILDREN = 100_000
"""How many children of a dynamic supervisor are in memory at a time, unless its spec says otherwise."""

Restart = Literal["permanent", "transient", "temporary"]
Shutdown = Annotated[float, msgspec.Meta(ge=0)] | Literal["brutal_kill", "infinity"]
Strategy = Literal["one_for_one", "one_for_all", "rest_for_one", "dynamic", "partition"]
AutoShutdown = Literal["never", "any_significant", "all_significant"]

Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Limit = Seconds | Literal["infinity"]


class _Spec(
    msgspec.Struct,
    kw_only=True,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    repr_omit_defaults=True,
    tag_field="kind",
):
    """The fields that every child has, actor or supervisor. OTP: supervisor(3), child_spec()."""

    kind: ClassVar[str]

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern="^[^/]+$")]
    """The child's segment of its address: printable, without "/", at most 200 characters."""
    restart: Restart = "permanent"
    """permanent: always; transient: unless it ended `normal` or `shutdown`; temporary: never."""
    significant: bool = False
    """Its own end may end its supervisor (`auto_shutdown`); for transient and temporary children."""


class ChildSpec(_Spec, tag="actor", kw_only=True, frozen=True):
    """The data from which a supervisor starts an actor. OTP: supervisor(3), child_spec().

    Every option of the actor class can be overridden here; None leaves it as the class has it.
    """

    kind: ClassVar[str] = "actor"

    actor: ActorClass
    """The class, or `"module:Class"`. Kept as the latter."""
    args: dict[str, Any] = {}
    """Keyword arguments for the class; checked and converted by the annotations of its `__init__`."""
    shutdown: Shutdown = 5.0
    """Seconds for the running turn and `on_stop` to finish in, before they are cancelled; `"brutal_kill"`: none;
    `"infinity"`: no limit. OTP has the same default for workers."""

    durable: bool | None = None
    journal: bool | None = None
    max_attempts: Count | None = None
    """How often a message may fail: with the last of these failures it becomes a dead letter."""
    backoff: BackoffChanges | None = None
    """The delays between attempts. A table changes the keys that it has, a Backoff replaces that of the class."""
    retry_on: Sequence[ErrorClass] | None = None
    reject_on: Sequence[ErrorClass] | None = None
    handler_timeout_s: Limit | None = None
    capacity: Count | None = None
    """How many messages the mailbox takes."""
    overflow: Literal["wait", "reject"] | None = None
    idle_timeout_s: Limit | None = None
    """Seconds without a message until the actor leaves memory; `"infinity"`: it stays."""
    trap_exits: bool | None = None
    """Whether exits of actors that it is linked to come as `Exited` messages, rather than taking it along."""

    def __post_init__(self) -> None:
        if isinstance(self.actor, type):
            msgspec.structs.force_setattr(self, "actor", refer(self.actor))
        if isinstance(self.backoff, Backoff):
            msgspec.structs.force_setattr(self, "backoff", msgspec.structs.asdict(self.backoff))
        for name in ("retry_on", "reject_on"):
            value = getattr(self, name)
            if isinstance(value, list | tuple):
                kept = tuple(refer(entry) if isinstance(entry, type) else entry for entry in value)
                msgspec.structs.force_setattr(self, name, kept)


class SupervisorSpec(_Spec, tag="supervisor", kw_only=True, frozen=True):
    """The data from which a supervisor is started, by its own supervisor or as the root.

    OTP: supervisor(3), sup_flags().

    A `dynamic` supervisor has no static children: with a `template`, an address below it is activated by its
    first message; without one, children come by `StartChild`. Elixir: DynamicSupervisor.

    A `partition` supervisor has `partitions` children made from its `template`, with the ids "0", "1", …;
    `ref.partition(key)` finds the one that a key belongs to. Elixir: PartitionSupervisor.
    """

    kind: ClassVar[str] = "supervisor"

    strategy: Strategy = "one_for_one"
    intensity: Annotated[int, msgspec.Meta(ge=0)] = 3
    """How many restarts the supervisor makes within `period_s` seconds; with one more it gives up. Elixir has the same
    default."""
    period_s: Seconds = 5.0
    auto_shutdown: AutoShutdown = "never"
    """Whether the end of any, or of all, significant children ends this supervisor. OTP: auto_shutdown()."""
    restart_backoff: RestartBackoffTable | None = None
    """How long children that exit again and again wait for their restart; None: they don't wait. A wait is no restart,
    so a child under a backoff may never exceed the intensity."""
    strict: bool = False
    """OTP to the letter: no backoff, and each exit is charged, also that by a further attempt of the same message."""
    shutdown: Shutdown = "infinity"
    """As for an actor; infinity lets everything below end in order. OTP has the same default for supervisors."""
    children: Sequence[ChildSpec | SupervisorSpec] = ()
    """Started in this order, stopped in reverse."""
    template: ChildSpec | None = None
    """dynamic and partition: the spec from which each child is started. Its id stands in no address."""
    partitions: Count | None = None
    """partition only: how many children there are. It can be changed only while none of them has state or mail."""
    max_children: Count = MAX_CHILDREN
    """dynamic only: how many children may be in memory. At the limit those that have been idle longest leave it."""

    def __post_init__(self) -> None:
        if isinstance(self.children, list):
            msgspec.structs.force_setattr(self, "children", tuple(self.children))
        if isinstance(self.restart_backoff, RestartBackoff):
            msgspec.structs.force_setattr(self, "restart_backoff", msgspec.structs.asdict(self.restart_backoff))

    @property
    def backoff(self) -> RestartBackoff | None:
        """`restart_backoff` as an object, also if it was given as a table."""
        table = self.restart_backoff
        return None if table is None else RestartBackoff(**cast(Mapping[str, float], table))


Spec = ChildSpec | SupervisorSpec


def shutdown_seconds(shutdown: Shutdown) -> float | None:
    """The shutdown time in seconds; None for no limit."""
    if shutdown == "infinity":
        return None
    if shutdown == "brutal_kill":
        return 0.0
    return float(shutdown)


def partition_specs(spec: SupervisorSpec) -> tuple[ChildSpec, ...]:
    """The children of a `partition` supervisor; none of any other."""
    if spec.strategy != "partition" or spec.template is None:
        return ()
    return tuple(msgspec.structs.replace(spec.template, id=str(number)) for number in range(spec.partitions or 0))


def to_config(spec: Spec) -> dict[str, Any]:
    """The spec as it would stand in a JSON config file: plain data, defaults left out.

    Raises:
        TypeError: `args` holds an object that isn't data.
    """
    config: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(spec))
    return config


def walk(spec: Spec, parent: str = "") -> Iterator[tuple[str, Spec]]:
    """Every static spec with its address, supervisors before their children."""
    address = f"{parent}/{spec.id}"
    yield address, spec
    if isinstance(spec, SupervisorSpec):
        for child in (*spec.children, *partition_specs(spec)):
            yield from walk(child, address)
