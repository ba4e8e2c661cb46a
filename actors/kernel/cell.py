"""Cell: the runtime's record of one address. It owns its status, its mailbox and its place in the schedule.

The states are in docs/semantics/cell.md. Other rooms read a cell's fields, and change them by its methods only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from ...persistence.errors import GreenroomError, StoreError
from ..definition.definition import Definition, Options
from ..definition.handlers import HandlerSpec
from ..mailbox.envelope import Ask, Envelope
from ..mailbox.mailbox import Entry, Mailbox, priority_of
from ..messages.aliases import Aliases
from ..messages.message import Message
from ..messages.signals import ExitReason
from .errors import ActorNotFound, SystemStopped, start_first
from .kernel import Kernel
from .state import DurableState

if TYPE_CHECKING:
    from .incarnation import Incarnation
    from .turn import Turn

__all__ = ("DOWN", "GONE", "PASSIVE", "STARTING", "STOPPED", "STOPPING", "UP", "Cell", "Line", "no_charge")

PASSIVE: Final = "passive"
STARTING: Final = "starting"
UP: Final = "up"
STOPPING: Final = "stopping"
DOWN: Final = "down"
STOPPED: Final = "stopped"
GONE: Final = "gone"

SCAN: Final = "the scan"
"""Holds a cell whose mail all waits for the scan of the messages on disk."""


class Line(Protocol):
    """Outside tells that wait before a mailbox (delivery/admission.py)."""

    def refuse(self, error: Callable[[object], GreenroomError]) -> None:
        """Nothing in the line gets in; each teller gets an error that hands its message back."""


class Cell:
    """One address at run time."""

    __slots__ = (
        "__weakref__",
        "address",
        "admission",
        "after",
        "alone",
        "asking",
        "at_end",
        "capacity",
        "definition",
        "durable",
        "handlers",
        "held_by",
        "held_s",
        "incarnation",
        "kernel",
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
        "state",
        "status",
        "supervisor",
        "turn",
    )

    def __init__(
        self,
        kernel: Kernel,
        address: str,
        definition: Definition,
        options: Options,
        make_args: Callable[[], dict[str, Any]],
        *,
        supervisor: Cell | None,
        spec: Any = None,
        on_demand: bool = False,
    ) -> None:
        self.kernel = kernel
        self.address = address
        self.definition = definition
        self.handlers = definition.handlers
        self.options = options
        self.make_args = make_args
        """Makes the constructor's arguments anew for each incarnation."""
        self.supervisor = supervisor
        self.spec = spec
        """The spec from which the supervisor made it; opaque here."""
        self.on_demand = on_demand
        """Whether its first message starts it, rather than its supervisor."""
        self.capacity = options.capacity
        self.durable: bool = options.durable
        self.light = not self.durable
        """Whether a plain tell may go straight into the mailbox: no rows, no line before it, and the node is open."""
        self.state = DurableState(self, definition, self.durable)
        self.mailbox = Mailbox()
        self.status: str = PASSIVE
        self.incarnation: Incarnation | None = None
        self.after = 0
        """The commit position that everything it has seen so far rests on."""
        self.turn: Turn | None = None
        self.queued = False
        """Whether it is in the ready queue, set aside for a suspect's sake, or in a runner's hands."""
        self.runner = -1
        """The slot of the runner that has it in hand; -1 if none has."""
        self.held_by: object = None
        """The reason why it isn't scheduled although it has mail: the receiver that it overfilled, or `SCAN`."""
        self.leaving: tuple[ExitReason, str, int] | None = None
        """Set when a turn ends the incarnation: the reason, the message's uid, its failed attempts before."""
        self.retiring = False
        """Whether the turn that ended the incarnation deleted state and mailbox."""
        self.last_exit = 0
        """The number of the incarnation that ended last."""
        self.quiet: asyncio.Future[None] | None = None
        """Resolved when no runner has it in hand. Exists only while somebody waits for that."""
        self.admission: Line | None = None
        """Tells from outside that wait for room or for a key, in order."""
        self.asking: list[Cell] | None = None
        """Cells that its turn has asked and waits for: edges of the wait-for graph."""
        self.at_end: Callable[[], object] | None = None
        """Called once when the incarnation is over, however it ended. It ends the work that the
        incarnation has beside its turns."""
        self.on_room: list[Callable[[], object]] | None = None
        """Called when the mailbox is under its capacity again."""
        self.alone = 0
        """The number of messages that are to be handled one by one, because a batch failed."""
        self.held_s = 0.0
        """Seconds for which the last step of a waiting handler has held the loop (execution/fair_share.py)."""
        self.last_used = 0.0
        """The time when its last message was handled, in the monotonic seconds of a sweep."""

    def __repr__(self) -> str:
        return f"<Cell {self.address} {self.status}, {self.mailbox.count} waiting>"

    def redefine(self, definition: Definition, options: Options, make_args: Callable[[], dict[str, Any]]) -> None:
        """Take another class, or other options, between two incarnations. They hold from the next
        incarnation on; `durable` stays."""
        if definition is not self.definition:
            self.state = DurableState(self, definition, self.durable)
        self.definition = definition
        self.handlers = definition.handlers
        self.options = options
        self.capacity = options.capacity
        self.make_args = make_args

    def respecify(self, spec: Any) -> None:
        """Its supervisor has made it from another spec."""
        self.spec = spec

    @property
    def suspended(self) -> bool:
        """Whether it handles nothing but system messages (extensions/introspection). A runner has it in hand then."""
        return self.mailbox.held

    @property
    def aliases(self) -> Aliases:
        return self.kernel.settings.aliases

    def handler_for(self, message_type: type[Message]) -> HandlerSpec | None:
        """The handler of a message type: the actor's own, or one that every actor has; None if there is none."""
        return (
            self.handlers.get(message_type)
            or self.kernel.handlers[message_type]
            or self.definition.handler_for(message_type)
        )

    # -- transitions -----------------------------------------------------------------------------------

    def to(self, status: str) -> None:
        """Change the status."""
        self.status = status

    def swap(self, mailbox: Mailbox) -> None:
        """Go on with another mailbox, which has all the mail of this one."""
        self.mailbox = mailbox

    def take(self, slot: int) -> int:
        """A runner takes it in hand. Returns the slot of the runner that had it before, -1 if none did."""
        before, self.runner = self.runner, slot
        return before

    def let_go(self) -> None:
        """It is in no runner's hands, and in no queue, any more."""
        self.queued = False
        self.runner = -1
        if self.quiet is not None:
            self.now_quiet()

    def reserve(self) -> None:
        """Keep runners from it, as if it were in the ready queue."""
        self.queued = True

    def unreserve(self) -> None:
        self.queued = False

    def park(self) -> None:
        """All of its mail waits for the scan: it isn't scheduled until some of the mail may be handled."""
        self.held_by = SCAN
        self.let_go()

    def unpark(self) -> None:
        """Some of its mail may be handled. The caller wakes it."""
        if self.held_by is SCAN:
            self.held_by = None

    def used(self, now_s: float) -> None:
        """Something has used it, at that moment in monotonic seconds."""
        self.last_used = now_s

    def line_up(self, line: Line) -> None:
        """Outside tells wait in a line from now on."""
        self.admission = line
        self.light = False

    def line_over(self) -> None:
        """The line before the mailbox is empty."""
        self.admission = None
        self.light = not self.durable and not self.kernel.over

    def waits_for(self, cell: Cell) -> None:
        """Its turn has asked another cell."""
        if self.asking is None:
            self.asking = []
        self.asking.append(cell)

    def has_waited_for(self, cell: Cell) -> None:
        if self.asking is not None:
            self.asking.remove(cell)

    def on_end(self, callback: Callable[[], object] | None) -> None:
        """Call back once when the incarnation is over, however it ends."""
        self.at_end = callback

    def rest_on(self, position: int) -> None:
        """It rests on this commit position, and so does the turn that it is in."""
        self.after = position
        if self.turn is not None:
            self.turn.after = position

    # -- scheduling ----------------------------------------------------------------------------------

    def push(self, entry: Entry, priority: int = 0) -> None:
        self.mailbox.push(entry, priority)
        if not self.queued:
            self.wake()

    def wake(self) -> None:
        """Put it on the ready queue if it has something to do and may do it."""
        if self.queued or not self.mailbox.count or self.held_by is not None:
            return
        if self.status is UP or (self.status is PASSIVE and self.may_start()):
            self.queued = True
            self.kernel.scheduler.ready_cell(self)

    def may_start(self) -> bool:
        """Whether a message may start it."""
        return self.on_demand and self.supervisor is not None and self.supervisor.status is UP

    def has_room(self) -> None:
        """Call the callbacks that wait for room, if the mailbox has got short enough, or isn't drained any more."""
        if self.on_room is not None and (
            self.mailbox.count < self.options.capacity or self.status in (DOWN, STOPPED, GONE)
        ):
            waiting, self.on_room = self.on_room, None
            for callback in waiting:
                callback()

    def give_back(self, envelopes: Iterable[Envelope], *, alone: bool = False) -> None:
        """Put messages back at the head, uncharged. Asks aren't put back, because they have been answered."""
        entries = [entry for entry in envelopes if not isinstance(entry, Ask)]
        for entry in entries:
            entry.forget_object()
        self.mailbox.push_front(*entries)
        if alone:
            self.alone = len(entries)

    # -- what waits here -------------------------------------------------------------------------------

    def forget_mail(self, ids: Container[int]) -> None:
        """Forget these rows, because the actor retires and they go with it. Mail that came since is for
        the next actor at the address."""
        self.kernel.delayed.drop(self.address, ids)
        entries, self.mailbox = self.mailbox.entries(), Mailbox()
        for entry in entries:
            row_id = entry if isinstance(entry, int) else getattr(entry, "id", 0)
            if isinstance(entry, Ask) or (row_id and row_id not in ids):
                self.mailbox.push(entry, priority_of(entry))

    # -- waiting for it --------------------------------------------------------------------------------

    async def until_quiet(self, timeout_s: float | None) -> None:
        """Wait until no turn runs and no runner has it in hand, at most so many seconds."""
        if self.turn is None and self.runner < 0:
            return
        if self.quiet is None or self.quiet.done():
            self.quiet = asyncio.get_running_loop().create_future()
        await self.kernel.runtime.wait((self.quiet,), timeout_s)

    def now_quiet(self) -> None:
        quiet, self.quiet = self.quiet, None
        if quiet is not None and not quiet.done():
            quiet.set_result(None)

    # -- the end of an incarnation ---------------------------------------------------------------------

    def fence(self, status: str) -> None:
        """End the incarnation: whatever still runs of it can commit nothing."""
        if self.status is not GONE:  # the address may be another cell's by now
            for fenced in self.kernel.hooks.fenced:
                fenced(self)
        self.incarnation = None
        self.leaving = None
        if self.at_end is not None:
            self._over()
        if self.status is not GONE:
            self.status = status
        self.has_room()
        if status is STOPPED or status is GONE or (self.kernel.closing and status is not DOWN):
            self.refuse_asks()

    def _over(self) -> None:
        at_end, self.at_end = self.at_end, None
        if at_end is not None:
            at_end()

    def refuse_asks(self) -> None:
        """Refuse the asks that wait, because nothing will answer them."""
        for entry in self.mailbox.entries():
            if isinstance(entry, Ask) and (error := self.unreachable(entry.message)) is not None:
                entry.refuse(error)

    def unreachable(self, undelivered: object) -> GreenroomError | None:
        """The error of an ask, because the actor, or a supervisor above it, is stopped; None if neither is."""
        if self.kernel.over:
            return SystemStopped(self.address, undelivered, self.kernel.gave_up)
        at: Cell | None = self
        while at is not None and at.status is not STOPPED and at.status is not GONE:
            at = at.supervisor
        if at is None:
            return None
        remedy = start_first(at.address) if at.status is STOPPED else ""
        return ActorNotFound(self.address, f"{'it' if at is self else at.address} is {at.status}", remedy)

    def reset(self, error: StoreError) -> None:
        """Forget everything, because the store failed. It will be read again."""
        for fenced in self.kernel.hooks.fenced:
            fenced(self)
        turn, self.turn = self.turn, None
        self.incarnation = None
        self._over()
        asks = [entry for entry in self.mailbox.entries() if isinstance(entry, Ask)]
        if turn is not None:
            if isinstance(turn.envelope, Ask):
                asks.append(turn.envelope)
            turn.interrupt = no_charge
            if turn.task is not None:
                asyncio.Task.cancel(turn.task)  # not `cancel`, which is for user code (execution/user_code)
        for ask in asks:
            ask.refuse(error)
        if turn is not None:
            turn.discard()
        if self.admission is not None:
            self.admission.refuse(partial(self.kernel.refusal, error))
        self.mailbox = Mailbox()
        self.state.forget(loaded=False)
        self.leaving = self.held_by = None
        self.after = self.alone = 0
        self.queued = self.retiring = False
        self.runner = -1
        self.status = PASSIVE
        self.has_room()
        self.now_quiet()


def no_charge() -> None:
    """The interrupt of a turn that is stopped through no fault of its message."""
