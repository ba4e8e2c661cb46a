"""A cell: the runtime's record of one address. What happens to it is in lifecycle.py and executor.py.

The states are in docs/semantics/cell.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from ...persistence.errors import StoreError
from ..extensions.stash import put_back
from ..mailbox.envelope import Ask, Envelope
from ..mailbox.mailbox import Entry, Mailbox, priority_of
from ..messages.signals import ExitReason
from .errors import ActorNotFound
from .incarnation import Incarnation
from .state import DurableState
from .status import DOWN, GONE, PASSIVE, STOPPED, UP
from .turn import Turn

if TYPE_CHECKING:
    from ..definition.definition import Definition, Options
    from ..delivery.admission import Admission
    from ..messages.aliases import Aliases
    from ..system import ActorSystem

__all__ = ("Cell",)


class Cell:
    """One address."""

    __slots__ = (
        "__weakref__",
        "address",
        "admission",
        "after",
        "alone",
        "asking",
        "at_end",
        "blocked_by",
        "capacity",
        "definition",
        "durable",
        "handlers",
        "held_s",
        "incarnation",
        "last_exit",
        "last_used",
        "leaving",
        "light",
        "mailbox",
        "make_args",
        "on_demand",
        "on_room",
        "options",
        "queued",
        "quiet",
        "retiring",
        "runner",
        "spec",
        "stash",
        "state",
        "status",
        "supervisor",
        "system",
        "turn",
    )

    def __init__(
        self,
        system: ActorSystem,
        address: str,
        definition: Definition,
        options: Options,
        make_args: Callable[[], dict[str, Any]],
        *,
        supervisor: Cell | None,
        spec: Any = None,
        on_demand: bool = False,
    ) -> None:
        self.system = system
        self.address = address
        self.definition = definition
        self.handlers = definition.handlers
        self.options = options
        self.make_args = make_args
        """Makes the constructor's arguments anew for each incarnation."""
        self.supervisor = supervisor
        self.spec = spec
        """What the supervisor made it from; opaque here."""
        self.on_demand = on_demand
        """Whether its first message starts it, rather than its supervisor."""
        self.capacity = options.capacity
        self.durable: bool = options.durable
        self.light = not self.durable
        """Whether a plain tell may go straight into the mailbox: no rows, nobody in line, and the system is open."""
        self.state = DurableState(self, definition, self.durable)
        self.mailbox = Mailbox()
        self.stash: list[Entry] | None = None
        """Messages that were put aside (extensions/stash.py), in their order."""
        self.status: str = PASSIVE
        self.incarnation: Incarnation | None = None
        self.after = 0
        """The commit position that everything it has seen so far rests on."""
        self.turn: Turn | None = None
        self.queued = False
        """Whether it is in the ready queue, set aside, or in a runner's hands."""
        self.runner = -1
        """The slot of the runner that has it in hand."""
        self.leaving: tuple[ExitReason, str, int] | None = None
        """Set when a turn ends the incarnation: reason, the message's uid, its attempt."""
        self.retiring = False
        """Whether the turn that ended the incarnation deleted state and mailbox."""
        self.last_exit = 0
        """The incarnation that ended last."""
        self.quiet: asyncio.Future[None] | None = None
        """Resolved when no runner has it in hand; only while somebody waits for that."""
        self.admission: Admission | None = None
        """Outside tells that wait for room or for a key, in order."""
        self.asking: list[Cell] | None = None
        """Whom it is waiting for: edges of the wait-for graph."""
        self.at_end: Callable[[], object] | None = None
        """Called once when the incarnation is over, however it ended: for what it has beside its turns."""
        self.blocked_by: Cell | None = None
        """The receiver that this sender overfilled: it isn't scheduled until there is room."""
        self.on_room: list[Callable[[], object]] | None = None
        """Whom to tell when the mailbox is under its capacity again."""
        self.alone = 0
        """How many messages are to be handled one by one, after a batch failed."""
        self.held_s = 0.0
        """How long a step of its handler that waits has just held the loop (execution/fair_share.py)."""
        self.last_used = 0.0
        """When its last message was handled, in the monotonic seconds of a sweep."""

    def __repr__(self) -> str:
        return f"<Cell {self.address} {self.status}, {self.mailbox.count} waiting>"

    def redefine(self, definition: Definition, options: Options, make_args: Callable[[], dict[str, Any]]) -> None:
        """Between two incarnations: another class, or other options, from the next one on. `durable` stays."""
        if definition is not self.definition:
            self.state = DurableState(self, definition, self.durable)
        self.definition = definition
        self.handlers = definition.handlers
        self.options = options
        self.capacity = options.capacity
        self.make_args = make_args

    @property
    def suspended(self) -> bool:
        """Whether it handles nothing but system messages (suspension.py); it is up, and in a runner's hands."""
        return self.mailbox.suspension is not None

    @property
    def aliases(self) -> Aliases:
        return self.system.settings.aliases

    # -- scheduling ----------------------------------------------------------------------------------

    def push(self, entry: Entry, priority: int = 0) -> None:
        self.mailbox.push(entry, priority)
        if not self.queued:
            self.wake()

    def wake(self) -> None:
        """Put it on the ready queue if it has something to do and may do it."""
        if self.queued or not self.mailbox.count or self.blocked_by is not None:
            return
        if self.status is UP or (self.status is PASSIVE and self.may_start()):
            self.queued = True
            self.system.runners.ready_cell(self)

    def may_start(self) -> bool:
        """Whether a message may start it."""
        return self.on_demand and self.supervisor is not None and self.supervisor.status is UP

    def has_room(self) -> None:
        """Tell those who wait for it, if the mailbox has got short enough, or isn't drained any more."""
        if self.on_room is not None and (
            self.mailbox.count < self.options.capacity or self.status in (DOWN, STOPPED, GONE)
        ):
            waiting, self.on_room = self.on_room, None
            for callback in waiting:
                callback()

    def give_back(self, envelopes: Iterable[Envelope], *, alone: bool = False) -> None:
        """Put messages back at the head, uncharged. Asks aren't: they have been answered."""
        entries = [entry for entry in envelopes if not isinstance(entry, Ask)]
        for entry in entries:
            entry.forget_object()
        self.mailbox.push_front(*entries)
        if alone:
            self.alone = len(entries)

    def row_ids(self) -> list[int]:
        """The rows of every message that waits here, stashed, delayed and retried ones included."""
        system = self.system
        waiting, owed = system.delays.entries_of(self.address), system.monitors.owed_to(self.address)
        entries = (*self.mailbox.entries(), *(self.stash or ()), *waiting, *owed)
        ids = (entry if isinstance(entry, int) else getattr(entry, "id", 0) for entry in entries)
        return [int(row_id) for row_id in ids if row_id]

    def forget_mail(self, ids: Container[int]) -> None:
        """It retires: these rows go with it. What came since then is for whoever has the address next."""
        self.system.delays.drop(self.address, ids)
        entries, self.mailbox = self.mailbox.entries(), Mailbox()
        for entry in (*entries, *(self.stash or ())):
            row_id = entry if isinstance(entry, int) else getattr(entry, "id", 0)
            if isinstance(entry, Ask) or (row_id and row_id not in ids):
                self.mailbox.push(entry, priority_of(entry))
        self.stash = None

    # -- waiting for it --------------------------------------------------------------------------------

    async def until_quiet(self, timeout_s: float | None) -> None:
        """Wait until no turn runs and no runner has it in hand, at most so many seconds."""
        if self.turn is None and self.runner < 0:
            return
        if self.quiet is None or self.quiet.done():
            self.quiet = asyncio.get_running_loop().create_future()
        await self.system.runtime.wait((self.quiet,), timeout_s)

    def now_quiet(self) -> None:
        quiet, self.quiet = self.quiet, None
        if quiet is not None and not quiet.done():
            quiet.set_result(None)

    # -- the end of an incarnation ---------------------------------------------------------------------

    def fence(self, status: str) -> None:
        """No incarnation any more: whatever still runs of it can commit nothing."""
        if self.mailbox.suspension is not None:
            self.mailbox.suspension.end_with_incarnation()
        self.incarnation = None
        self.leaving = None
        if self.stash is not None:  # the next one begins with it
            stash, self.stash = self.stash, None
            put_back(self.mailbox, stash)
        if not self.durable:
            self.system.timers.ended(self.address)
        if self.at_end is not None:
            self._ended()
        if self.status is not GONE:
            self.status = status
        self.has_room()
        if status is STOPPED or status is GONE:
            self.refuse_asks()

    def _ended(self) -> None:
        at_end, self.at_end = self.at_end, None
        if at_end is not None:
            at_end()

    def refuse_asks(self) -> None:
        """Nobody will answer them."""
        for entry in self.mailbox.entries():
            if isinstance(entry, Ask) and not entry.future.done():
                entry.future.set_exception(ActorNotFound(self.address, f"it is {self.status}"))

    def reset(self, error: StoreError) -> None:
        """The store failed: forget everything, it will be read again."""
        if self.mailbox.suspension is not None:
            self.mailbox.suspension.end_with_incarnation()
        turn, self.turn = self.turn, None
        self.incarnation = None
        self._ended()
        asks = [entry for entry in (*self.mailbox.entries(), *(self.stash or ())) if isinstance(entry, Ask)]
        self.stash = None
        if turn is not None:
            if isinstance(turn.envelope, Ask):
                asks.append(turn.envelope)
            turn.interrupt = no_charge
            if turn.task is not None:
                turn.task.cancel()
        for ask in asks:
            if not ask.future.done():
                ask.future.set_exception(error)
        if turn is not None:
            turn.discard()
        if self.admission is not None:
            self.admission.refuse(partial(self.system.recovery.refusal, error))
        self.mailbox = Mailbox()
        self.state.forget(loaded=False)
        self.leaving = self.blocked_by = None
        self.after = self.alone = 0
        self.queued = self.retiring = False
        self.runner = -1
        self.status = PASSIVE
        self.has_room()
        self.now_quiet()


def no_charge() -> None:
    """The interrupt of a turn that is stopped through no fault of its message."""
