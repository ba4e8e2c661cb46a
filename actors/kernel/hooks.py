"""Hooks: the parts above the kernel, as the kernel sees them.

A feature is a folder under `extensions/`. It hooks in by two classes: an `Extension`, its part of a node,
and a `Participant`, its part of one turn. The others here are roles that one object has: the tree
(`Activator`), the pool of runners (`Scheduler`), the care after a crash (`Caution`), the way to mailboxes
(`Routing`), the owner of data (`Guilty`).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ...persistence.commit.effects import Entry
from ...persistence.store.rows import Row
from ..mailbox.envelope import Ask, Envelope
from ..messages.message import Message
from ..messages.signals import Exit

if TYPE_CHECKING:
    import asyncio

    from .cell import Cell

__all__ = (
    "Activator",
    "Caution",
    "Extension",
    "Hooks",
    "Instance",
    "Owed",
    "Participant",
    "Routing",
    "Scheduler",
)


class Instance(Protocol):
    """An actor's instance, of a user's class. The kernel has this protocol because `Actor` stands above the kernel."""

    state: Any
    _context: Any
    """The incarnation, once it has one."""

    def initial_state(self) -> Any: ...

    def on_start(self) -> Any: ...

    def on_stop(self, reason: Any) -> Any: ...


class Participant:
    """A feature's part of one turn. It is made by `turn.part(Kind)`, with the turn, when a handler first uses it.

    Every method does nothing by default.
    """

    rank: ClassVar[int] = 5
    """The order of participants: keys 0, relations 1, leaving 2, timers 3, stash 4, a journal 9."""

    async def ready(self) -> None:
        """Look up the data that it needs, before the finish. Called only if `turn.waits`; the highest rank comes first.

        An exception that it raises fails the turn.
        """

    def prepare(self, inserts: list[Envelope], ahead: bool) -> int:
        """Add its rows to the turn, at the finish. Returns their size in bytes. It may change only the turn.

        Args:
            inserts: messages that get a row with the turn; it may add some, each with an id.
            ahead: the turn commits before the queue, because it holds a user transaction.
        """
        return 0

    def apply(self) -> None:
        """Change memory, because the turn's effects have their position in the commit queue."""

    def withdraw(self) -> None:
        """Undo its preparations, because the turn came to nothing."""


class Owed(Protocol):
    """Messages and deletions that are owed to others because of an exit. They commit with the exit."""

    def entries(self, next_id: Callable[[], int]) -> tuple[list[Envelope], list[tuple[type[Row], Any]], int]:
        """The messages to insert, the rows to delete, and the bytes of both."""
        ...

    def decided(self, position: int) -> None:
        """The exit has this position in the commit queue, and the owed messages with it."""


class Extension:
    """A feature's part of a node. Every method does nothing by default, and one that isn't overridden costs nothing.

    The methods are called once a start, a stop or a boot, never once a message. Their order
    is that of `add_parts` in `system.py`.
    """

    concerned: Sequence[Container[str]] | None = None
    """Addresses whose exits the feature has to do with: for others `exiting` and `ended` aren't called. None: all."""

    async def load(self) -> None:
        """Read rows: at the boot, or when the store is back."""

    async def catch_up(self) -> None:
        """Catch up on missed work. Everything is read, and nothing has started."""

    async def look_round(self) -> None:
        """Look round: the tree has started."""

    def reset(self) -> None:
        """Forget everything that is read again. The store has failed, and every incarnation is gone without an exit."""

    def close(self) -> None:
        """Let go of timers, because the node stops."""

    def built(self, cell: Cell) -> None:
        """An instance was made for the cell's new incarnation; nothing of it has run."""

    def started(self, cell: Cell) -> None:
        """The cell is up."""

    def fenced(self, cell: Cell) -> None:
        """The cell is about to have no incarnation any more. That may be no exit: passivation, say."""

    def ended(self, cell: Cell, end: Exit | None) -> None:
        """An incarnation is over. `end` is None for a first start that failed, because that is no exit."""

    def exiting(self, end: Exit, after: int, *, ahead: bool = False) -> Owed | None:
        """The messages and deletions that will be owed because of an exit; None if there are none. Changes nothing.

        Args:
            after: the position that the exit rests on.
            ahead: the exit commits before the queue.
        """
        return None

    def rows_of(self, address: str) -> Iterable[tuple[type[Row], Any]]:
        """Rows that belong to an address, by kind and key: they are deleted with it."""
        return ()

    def forget(self, address: str) -> None:
        """Forget the address in memory. Its rows (`rows_of`) are deleted by a commit that
        has its position in the queue."""

    def holding(self, cell: Cell) -> None:
        """The cell's turn is about to begin a user transaction."""

    def keeps(self, cell: Cell) -> bool:
        """Whether the cell may not leave memory."""
        return False

    @property
    def busy(self) -> bool:
        """Whether there is work left, so that the node isn't idle."""
        return False


_HOOKS = (
    "load",
    "catch_up",
    "look_round",
    "reset",
    "close",
    "built",
    "started",
    "fenced",
    "ended",
    "exiting",
    "rows_of",
    "forget",
    "holding",
    "keeps",
)


class Hooks:
    """The overridden methods of all extensions, a tuple for each hook."""

    __slots__ = ("busy", "concerned", *_HOOKS)

    load: tuple[Callable[[], Any], ...]
    catch_up: tuple[Callable[[], Any], ...]
    look_round: tuple[Callable[[], Any], ...]
    reset: tuple[Callable[[], object], ...]
    close: tuple[Callable[[], object], ...]
    built: tuple[Callable[[Cell], object], ...]
    started: tuple[Callable[[Cell], object], ...]
    fenced: tuple[Callable[[Cell], object], ...]
    ended: tuple[Callable[[Cell, Exit | None], object], ...]
    exiting: tuple[Callable[..., Owed | None], ...]
    rows_of: tuple[Callable[[str], Iterable[tuple[type[Row], Any]]], ...]
    forget: tuple[Callable[[str], object], ...]
    holding: tuple[Callable[[Cell], object], ...]
    keeps: tuple[Callable[[Cell], bool], ...]
    concerned: tuple[Container[str], ...] | None
    """Addresses whose exits some feature has to do with; None: all."""
    busy: tuple[Extension, ...]
    """The extensions that may be busy."""

    def __init__(self, extensions: Sequence[Extension]) -> None:
        for name in _HOOKS:
            setattr(self, name, tuple(getattr(one, name) for one in extensions if _overrides(one, name)))
        self.busy = tuple(one for one in extensions if _overrides(one, "busy"))
        told = [one.concerned for one in extensions if _overrides(one, "ended") or _overrides(one, "exiting")]
        self.concerned = None if None in told else tuple(addresses for some in told for addresses in some or ())

    def concerns(self, address: str) -> bool:
        """Whether any feature has to do with an exit at an address."""
        concerned = self.concerned
        if concerned is None:
            return True
        for addresses in concerned:  # noqa: SIM110 - `any` would make a generator for each exit
            if address in addresses:
                return True
        return False


def _overrides(extension: Extension, name: str) -> bool:
    return getattr(type(extension), name) is not getattr(Extension, name)


class Activator(Protocol):
    """Makes cells for addresses without one. Supervision implements it."""

    def activate(self, parent: Cell, key: str) -> Cell | None:
        """The cell of a new child of `parent`, or None if it takes none."""
        ...

    def forget(self, cell: Cell) -> None:
        """A child has retired: it isn't started again."""

    def started(self, cell: Cell) -> None:
        """A cell is up; if it is a supervisor, mail may start its children now."""

    def retired(self, cell: Cell) -> list[tuple[type[Row], Any]]:
        """The rows, kind and key, that are to be deleted in the commit that retires a child."""
        ...

    def route(self, cell: Cell, key: str) -> str:
        """The address of the partition of `cell` that a key belongs to.

        Raises:
            ActorNotFound: it has none.
        """
        ...

    async def reload(self) -> None:
        """Forget everything that may not hold any more, because the store failed and is back."""


class Scheduler(Protocol):
    """The pool of runners (execution/dispatcher.py)."""

    @property
    def busy(self) -> bool:
        """Whether any cell is ready or set aside, or any runner is at work."""
        ...

    @property
    def waiting(self) -> bool:
        """Whether any cell waits for a runner."""
        ...

    def ready_cell(self, cell: Cell) -> None:
        """Take a cell up. Its `queued` is set by the caller."""

    def has_queued(self, cell: Cell) -> bool:
        """Whether a cell waits for a runner, or was set aside."""
        ...

    def leave_behind(self, task: asyncio.Task[Any]) -> None:
        """Note that the handler in which this runner waits was abandoned: nothing waits for the runner any more."""


class Caution(Protocol):
    """The care after a crash, while there are suspects: messages that were started and not finished when the node died.

    It is None in ordinary times (recovery/caution.py).
    """

    @property
    def active(self) -> bool:
        """Whether suspects exist, so that there is no run-ahead."""
        ...

    def suspect(self, uid: str) -> bool:
        """Whether a message is a suspect."""
        ...

    def acquit(self, uid: str) -> bool:
        """Whether a message was a suspect; it is none any more."""
        ...

    def after(self, position: int, arrive: Callable[[], object]) -> None:
        """Call `arrive`, which delivers a told message, once the position is on disk."""

    def serve(self, cell: Cell) -> None:
        """Something came for a cell that may pass its suspect: a signal, or a request of an actor."""

    def may_run(self, cell: Cell, envelope: Envelope) -> bool:
        """Whether a message at the head of a mailbox may run, or be started for, now. If it is a suspect, it counts as
        one that runs until `ran`."""
        ...

    def instead(self, cell: Cell, envelope: Envelope) -> Ask | None:
        """The request that a cell serves while its suspect waits. None: the caller sets the cell aside."""
        ...

    def ran(self, uid: str) -> None:
        """A message doesn't run any more. It may be a suspect still."""

    async def handle(self, cell: Cell, envelope: Envelope | None, message: Message, slot: int) -> str:
        """Run one turn. Returns what the runner does then."""
        ...

    def rested(self) -> None:
        """The node is idle: suspects that haven't come back never will."""

    def progress(self) -> dict[str, int]:
        """How far it has come, in numbers of suspects: `left`, `of` (at the boot), `running`, `alone` (of those left,
        the ones that run with no other beside them)."""
        ...


class Routing(Protocol):
    """The way to mailboxes (kernel/router.py)."""

    def resolve(self, address: str) -> Cell:
        """The cell at an address. Its supervisor's template makes it if there was none.

        Raises:
            ActorNotFound
        """
        ...

    def add(self, cell: Cell) -> None:
        """Make a cell known. Mail that waited for it on disk moves in."""

    def remove(self, cell: Cell) -> None:
        """Forget a cell that is gone, or that left memory."""

    def deliver(self, sender: Cell, sends: list[tuple[Cell, Envelope]], after: int) -> None:
        """Put the sends of a finished turn into the mailboxes of their receivers."""

    def redeliver(self, address: str, entry: Envelope | int) -> None:
        """Deliver a delayed or retried message whose moment has come."""

    def post(self, cell: Cell, signal: Message, *, urgent: bool = True) -> None:
        """Put a system signal into a mailbox; no capacity limits it. An urgent one passes every message."""

    def when_room(self, cell: Cell, callback: Callable[[], object]) -> None:
        """Call back when the mailbox is under its capacity, or its actor stops."""


class Guilty(Protocol):
    """The party that answers for an entry of the commit queue, if the database refuses its data."""

    def refused(self, entry: Entry, error: Any) -> Any:
        """The effects to commit in place of the entry; None if nobody answers for it."""
        ...
