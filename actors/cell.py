"""A cell: the runtime's record of one address. Start, stop and exit of its incarnations; its state; its mailbox.

The states are in docs/runtime-semantics.md, section 4.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..persistence.errors import StoreError
from ..persistence.record import ActorRow, checksum
from .actor import Actor
from .envelope import Ask, Envelope
from .errors import ActorNotFound, HandlerTimeout, Ignore, StartFailed, StateError
from .exits import ExitReason
from .incarnation import Incarnation
from .mailbox import Entry, Mailbox
from .message import ENCODER
from .status import DOWN, GONE, PASSIVE, STARTING, STOPPED, STOPPING, UP
from .turn import Turn

if TYPE_CHECKING:
    from .definition import Definition, Options
    from .system import ActorSystem

__all__ = ("Cell",)

CANCEL_GRACE_S = 1.0
"""How long a cancelled handler may take to end before its incarnation is abandoned."""


class Cell:
    """One address."""

    __slots__ = (
        "__weakref__",
        "address",
        "admission",
        "after",
        "alone",
        "asking",
        "blocked_by",
        "definition",
        "durable",
        "incarnation",
        "keeps_row",
        "keeps_state",
        "known",
        "last_exit",
        "last_used",
        "leaving",
        "loaded",
        "make_args",
        "mailbox",
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
        self.options = options
        self.make_args = make_args
        """Makes the constructor's arguments anew for each incarnation."""
        self.supervisor = supervisor
        self.spec = spec
        """What the supervisor made it from; opaque here."""
        self.on_demand = on_demand
        """Whether its first message starts it, rather than its supervisor."""
        self.durable: bool = options.durable
        self.keeps_state = self.durable and definition.state_type is not None
        self.keeps_row = self.durable
        self.mailbox = Mailbox()
        self.status: str = PASSIVE
        self.incarnation: Incarnation | None = None
        self.state: bytes | None = None
        """The bytes of the last finished turn: what a restart restores."""
        self.known = False
        """Whether it has an actor row, on disk or on its way."""
        self.loaded = not self.durable
        self.after = 0
        """The commit position that everything it has seen so far rests on."""
        self.turn: Turn | None = None
        self.queued = False
        """Whether it is in the ready queue, or in a runner's hands."""
        self.leaving: tuple[ExitReason, str, int] | None = None
        """Set when a turn ends the incarnation: reason, the message's uid, its attempt."""
        self.quiet: asyncio.Future[None] | None = None
        """Resolved when the running turn is over; only while somebody waits for that."""
        self.admission: Any = None
        """Outside tells that wait for room or for a key, in order."""
        self.asking: list[Cell] | None = None
        """Whom it is waiting for: edges of the wait-for graph."""
        self.blocked_by: Cell | None = None
        """The receiver that this sender overfilled: it isn't scheduled until there is room."""
        self.on_room: list[Callable[[], object]] | None = None
        """Whom to tell when the mailbox is under its capacity again."""
        self.runner = -1
        """The slot of the runner that has it in hand."""
        self.retiring = False
        """Whether the turn that ended the incarnation deleted state and mailbox."""
        self.last_exit = 0
        """The incarnation that ended last."""
        self.alone = 0
        """How many messages are to be handled one by one, after a batch failed."""
        self.last_used = 0.0

    def __repr__(self) -> str:
        return f"<Cell {self.address} {self.status}, {self.mailbox.count} waiting>"

    # -- scheduling ----------------------------------------------------------------------------------

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

    def push(self, entry: Entry, priority: int = 0) -> None:
        self.mailbox.push(entry, priority)
        if not self.queued:
            self.wake()

    def give_back(self, envelopes: Iterable[Envelope], *, alone: bool = False) -> None:
        """Put messages back at the head, uncharged."""
        entries = [entry for entry in envelopes if not isinstance(entry, Ask)]
        self.mailbox.push_front(*entries)
        if alone:
            self.alone = len(entries)

    def row_ids(self) -> list[int]:
        """The rows of every message that waits here, delayed and retried ones included."""
        ids = [
            entry if isinstance(entry, int) else getattr(entry, "id", 0) for entry in self.mailbox.entries()
        ]
        return [row_id for row_id in (*ids, *self.system.delays.rows_of(self.address)) if row_id]

    # -- state ---------------------------------------------------------------------------------------------

    def changed_state(self, actor: Actor[Any]) -> bytes | None:
        """The state's bytes if they differ from the last finished ones.

        Raises:
            StateError: it can't be encoded, or its bytes don't decode again (a NaN becomes `null`).
        """
        if not self.keeps_state:
            return None if self.known else b"null"
        try:
            state = ENCODER.encode(actor.state)
        except Exception as error:
            raise StateError(self.address, f"it can't be encoded: {error}") from error
        if state == self.state:
            return None if self.known else state
        self._decode(state, "what this turn left doesn't decode again")
        return state

    def finished_state(self, state: bytes) -> None:
        if self.keeps_state:
            self.state = state
        else:
            self.keeps_row = False
        self.known = True

    def restore_state(self, actor: Actor[Any]) -> None:
        """Back to the last finished bytes."""
        if self.state is not None:
            actor.state = self._decode(self.state, "the last finished state")

    def _decode(self, state: bytes, what: str) -> Any:
        decoder = self.definition.state_decoder
        assert decoder is not None
        try:
            return decoder.decode(state)
        except Exception as error:
            raise StateError(self.address, f"{what}: {error}") from error

    def actor_row(self, state: bytes) -> ActorRow:
        number = 0 if self.incarnation is None else self.incarnation.number
        now = self.system.runtime.now()
        row = ActorRow(self.address, self.definition.name, state.decode(), number, now)
        return row._replace(crc=checksum(row))

    async def load(self) -> None:
        """Read the actor row, if it isn't known what it says.

        Raises:
            RecordCorrupt, StateError: nothing is overwritten.
        """
        if self.loaded:
            return
        row = await self.system.store.get(ActorRow, self.address)
        if row is not None:
            if row.type != self.definition.name:
                raise StateError(
                    self.address,
                    f"it is stored as {row.type!r}, and the tree says {self.definition.name!r}; give the class "
                    f"name = {row.type!r}, or delete what is stored: understudy actors retire {self.address}",
                )
            self.state = row.state.encode()
            self.known = True
            if not self.keeps_state:
                self.keeps_row = False
        self.loaded = True

    # -- start -----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """A new incarnation: build the instance, restore its state, run `on_start` as a turn of its own.

        Raises:
            StartFailed: any of these failed; the cell is down.
            Ignore: `on_start` doesn't want to run; the cell is stopped.
        """
        system = self.system
        self.status = STARTING
        self.leaving = None
        incarnation = Incarnation(self, system.next_incarnation())
        self.incarnation = incarnation
        turn = Turn(incarnation, None, None, system.next_uid())
        try:
            await self.load()
            actor = incarnation.context.run(self._build, incarnation)
            self.turn = turn
            if self.definition.overrides_on_start:
                await system.runners.handling.drive(turn, actor.on_start, self.options.handler_timeout_s)
        except Ignore:
            turn.discard()
            self.incarnation = None
            self.status = STOPPED
            raise
        except BaseException as error:
            fenced = self.incarnation is not incarnation
            turn.discard()
            if fenced:
                raise StartFailed(self.address, ExitReason.killed("stopped while it started")) from None
            self.incarnation = None
            self.status = DOWN
            if isinstance(error, asyncio.CancelledError):
                raise
            raise StartFailed(self.address, ExitReason.from_exception(error)) from error
        turn.finish()
        leaving: tuple[ExitReason, str, int] | None = self.leaving
        if turn.status == "discarded" or leaving is not None:
            self.leaving = None
            if self.incarnation is incarnation:
                self.incarnation = None
                self.status = DOWN
            reason = leaving[0] if leaving is not None else ExitReason.killed("stopped while it started")
            raise StartFailed(self.address, reason)
        self.status = UP
        self.last_used = system.runtime.monotonic()
        system.events.emit("actor.started", self.address, incarnation=incarnation.number)
        if self.mailbox.count:
            self.wake()

    def _build(self, incarnation: Incarnation) -> Actor[Any]:
        cls = self.definition.cls
        actor: Actor[Any] = cls.__new__(cls)
        actor.__init__(**self.make_args())  # type: ignore[misc]
        actor._context = incarnation
        incarnation.actor = actor
        if self.keeps_state and self.state is not None:
            actor.state = self._decode(self.state, "what is stored doesn't fit its type")
        elif self.definition.state_type is not None:
            actor.state = actor.initial_state()
        return actor

    # -- stop --------------------------------------------------------------------------------------------------

    def has_room(self) -> None:
        """Tell those who wait for it, if the mailbox has got short enough."""
        if self.on_room is not None and (
            self.mailbox.count < self.options.capacity or self.status in (DOWN, STOPPED, GONE)
        ):
            waiting, self.on_room = self.on_room, None
            for callback in waiting:
                callback()

    async def stop(self, reason: ExitReason, timeout_s: float | None, *, then: str = STOPPED) -> ExitReason:
        """The shutdown ladder: ask, wait, cancel, abandon. Returns the reason it really ended with.

        Args:
            timeout_s: for the running turn and `on_stop` together; None waits for ever, 0 begins at cancel.
            then: the state it is left in.
        """
        runtime = self.system.runtime
        if self.status is STARTING or self.status is STOPPING:
            await self.until_quiet(timeout_s)  # its runner is at it
        if self.status is not UP:
            self.fence(then)
            return reason
        self.status = STOPPING
        incarnation = self.incarnation
        deadline = None if timeout_s is None else runtime.monotonic() + timeout_s
        if self.turn is not None:
            if timeout_s != 0:
                await self.until_quiet(timeout_s)
            if self.turn is not None:
                reason = ExitReason.killed("it didn't end within its shutdown time")
                await self.cut_off(self.turn, _no_charge)
        if self.leaving is not None and reason.kind != "killed":
            reason, self.leaving = self.leaving[0], None
        if incarnation is not None and self.incarnation is incarnation:
            left = None if deadline is None else max(0.0, deadline - runtime.monotonic())
            reason = await self.run_on_stop(incarnation, reason, left)
            self.last_exit = incarnation.number
        self.fence(then)
        return reason

    async def run_on_stop(
        self, incarnation: Incarnation, reason: ExitReason, left_s: float | None
    ) -> ExitReason:
        """The `on_stop` turn; returns the reason, changed if it failed or was cut off."""
        if not self.definition.overrides_on_stop or reason.kind == "killed":
            return reason
        actor = incarnation.actor
        turn = Turn(incarnation, None, None, self.system.next_uid())
        self.turn = turn
        try:
            if self.keeps_state:
                self.restore_state(actor)
            await self.system.runners.handling.drive(turn, lambda: actor.on_stop(reason), left_s)
        except HandlerTimeout:
            turn.discard()
            return ExitReason.killed("on_stop didn't end within its shutdown time")
        except Exception as error:
            turn.discard()
            failure = ExitReason.from_exception(error)
            self.system.events.emit(
                "actor.stop_failed",
                self.address,
                error=failure.error,
                text=failure.text,
                traceback=failure.traceback,
            )
            return failure if reason.kind != "error" else reason
        turn.finish()
        self.leaving = None
        return reason

    async def until_quiet(self, timeout_s: float | None) -> None:
        """Wait until no turn runs."""
        loop = asyncio.get_running_loop()
        if self.quiet is None or self.quiet.done():
            self.quiet = loop.create_future()
        await asyncio.wait([self.quiet], timeout=timeout_s)

    async def cut_off(self, turn: Turn, interrupt: Callable[[], BaseException | None]) -> bool:
        """Cancel the running handler; if it swallows that, abandon it. Returns whether it ended."""
        turn.interrupt = interrupt
        if turn.task is not None:
            turn.task.cancel()
            await self.until_quiet(CANCEL_GRACE_S)
        if self.turn is not turn:
            return True
        self.abandon(turn)
        return False

    def abandon(self, turn: Turn) -> None:
        """Fence the incarnation off: whatever its handler still does, it can commit nothing."""
        number = turn.incarnation.number
        self.incarnation = None
        turn.discard()
        self.turn = None
        self.queued = False
        self.runner = -1
        if turn.envelope is not None and turn.interrupt is not None and turn.interrupt() is None:
            self.give_back(turn.batch or (turn.envelope,))
        self.system.events.emit("actor.abandoned", self.address, incarnation=number, after_s=CANCEL_GRACE_S)
        self.now_quiet()

    def now_quiet(self) -> None:
        quiet, self.quiet = self.quiet, None
        if quiet is not None and not quiet.done():
            quiet.set_result(None)

    def fence(self, status: str) -> None:
        """No incarnation any more."""
        self.incarnation = None
        self.leaving = None
        if self.status is not GONE:
            self.status = status
        self.has_room()
        if status is STOPPED or status is GONE:
            self.refuse_asks()

    def reset(self, error: StoreError) -> None:
        """The store failed: forget everything, it will be read again."""
        turn, self.turn = self.turn, None
        self.incarnation = None
        if turn is not None:
            if isinstance(turn.envelope, Ask) and not turn.envelope.future.done():
                turn.envelope.future.set_exception(error)
            turn.interrupt = _no_charge
            if turn.task is not None:
                turn.task.cancel()
            turn.discard()
        for entry in self.mailbox.entries():
            if isinstance(entry, Ask) and not entry.future.done():
                entry.future.set_exception(error)
        if self.admission is not None:
            self.admission.refuse(error)
        self.mailbox = Mailbox()
        self.state = None
        self.known = False
        self.loaded = not self.durable
        self.keeps_row = self.durable
        self.leaving = self.blocked_by = None
        self.after = self.alone = 0
        self.queued = self.retiring = False
        self.runner = -1
        self.status = PASSIVE
        self.has_room()
        self.now_quiet()

    def refuse_asks(self) -> None:
        """Nobody will answer them."""
        for entry in self.mailbox.entries():
            if isinstance(entry, Ask) and not entry.future.done():
                entry.future.set_exception(ActorNotFound(self.address, f"it is {self.status}"))


def _no_charge() -> None:
    """The interrupt of a turn that is stopped through no fault of its message."""
