"""Actor and handler: the class that users subclass, and the decorator of its handlers.

class Account(Actor[Book]):
    reject_on = (ValueError,)

    @handler
    async def deposit(self, message: Deposit) -> None:
        self.state.balance += message.amount

    @handler
    def balance(self, message: Balance) -> int:
        return self.state.balance
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from threading import get_ident
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

from ..persistence.home import Home
from .definition.decorator import handler
from .definition.definition import Definition
from .definition.options import Backoff, Overflow
from .delivery.ref import ActorRef, ref_to
from .execution.exits import Exits
from .execution.transaction import user_transaction
from .extensions.groups import Groups
from .extensions.monitors.changes import RelationChanges
from .extensions.stash import StashChanges
from .extensions.timers.changes import TimerChanges
from .kernel.errors import ActorNotFound, NotRunning, TurnClosed
from .kernel.incarnation import Incarnation
from .kernel.leaving import Leaving
from .kernel.state import NoState
from .kernel.turn import Turn
from .messages.errors import StateError, UnhandledMessage
from .messages.message import Message
from .messages.signals import ExitReason, storable
from .messages.types import shown
from .system import ActorSystem

if TYPE_CHECKING:
    from random import Random  # noqa: TID251 - the name of a type; the draws come from the Runtime

    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ("Actor", "handler")

State = TypeVar("State")


class Actor(Generic[State]):
    """The base class of every actor; `State` is the type of its durable state, `None` if it has none.

    `__init__` takes the `args` of the child spec. It runs for every incarnation, before the actor has an
    address or a state: put into `self` what can be made again, and into `self.state` what must last.

    Raises:
        TypeError: when a subclass is defined, for every mistake that can be seen by then.
    """

    __definition__: ClassVar[Definition]

    durable: ClassVar[bool]
    journal: ClassVar[bool]
    max_attempts: ClassVar[int]
    backoff: ClassVar[Backoff]
    retry_on: ClassVar[tuple[type[Exception], ...]]
    reject_on: ClassVar[tuple[type[Exception], ...]]
    handler_timeout_s: ClassVar[float | None]
    capacity: ClassVar[int]
    overflow: ClassVar[Overflow]
    idle_timeout_s: ClassVar[float | None]
    trap_exits: ClassVar[bool]

    state_version: ClassVar[int] = 1
    """The version of the state's shape. Raise it with each change that defaults alone don't cover (see `upgrade`)."""

    state: State
    """The memory of the actor. It is set before `on_start`, kept if the turn finishes, restored if the turn fails. That
    of a `durable=False` actor isn't restored, because nothing of it is stored; a restart gives it a fresh one."""

    _context: Incarnation | None = None
    """The incarnation that this instance belongs to. The runtime sets it after `__init__`."""
    _supervises: ClassVar[bool] = False
    """Whether its suspects needn't wait for others (recovery/caution.py), because an actor that a suspect asks may have
    to be restarted first."""
    _answers: ClassVar[tuple[type[Exception], ...]] = ()
    """Errors that answer a request as they are: the asker gets them, and no actor exits."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__definition__ = Definition(cls, Actor)

    # -- what subclasses override ---------------------------------------------------------------------

    def initial_state(self) -> State:
        """The state at the beginning of the actor's life. By default it is the state type without arguments.

        Raises:
            StateError: the state type can't be made without arguments.
        """
        kind = self.__definition__.state_type
        if kind is None:
            return cast(State, None)
        try:
            return cast(State, kind())
        except TypeError as error:
            address = self._context.address if self._context is not None else self.__definition__.name
            raise StateError(
                address,
                f"{shown(kind)}() doesn't work ({error}). Give its fields defaults, or override "
                f"`def initial_state(self) -> {shown(kind)}` in {type(self).__qualname__}",
            ) from error

    @classmethod
    def upgrade(cls, state: Any, version: int) -> Any:  # noqa: ARG003 - the names are what overrides take
        """A stored state of a lower `state_version` in the current shape, as plain data or an instance.

        It is called when an actor starts whose row is of a lower version; the row gets the new version with the first
        turn of a message. By default the stored state is taken as it is, and fields that it lacks get their defaults.
        If it raises, or its result doesn't fit the state's type, the actor doesn't start and its row stays as it was.

        Args:
            state: the stored JSON as plain data: dicts, lists, texts, numbers, None.
            version: the version that it was stored with.
        """
        return state

    async def on_start(self) -> None:
        """Runs at the start of each incarnation, as a turn of its own. `raise Ignore` in it to not run at all."""

    async def on_stop(self, reason: ExitReason) -> None:
        """Runs at the end of each incarnation that is given the time for it, as a turn of its own."""

    def receive(self, message: Message) -> Any:
        """Takes each message without a handler; may be async. By default it becomes a dead letter."""
        raise UnhandledMessage(self.address, type(message).__name__)

    # -- the instance API -----------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """The actor's path in the tree, `/bank/accounts/alice`."""
        return _life(self, "address").address

    @property
    def ref(self) -> ActorRef:
        """A reference to this actor, to be sent to others."""
        life = _life(self, "ref")
        return ref_to(life.kernel, life.address)

    @property
    def supervisor(self) -> ActorRef:
        """The supervisor whose child this is.

        Raises:
            ActorNotFound: this is the root of the tree.
        """
        life = _life(self, "supervisor")
        above = life.cell.supervisor
        if above is None:
            why = f"{life.address} is the root of the tree and has no supervisor"
            raise ActorNotFound("/", why, "Use it only below the root")
        return ref_to(life.kernel, above.address)

    @property
    def system(self) -> ActorSystem:
        """The system, for references to others: `self.system.ref("/bank/ledger")`."""
        life = self._context
        return (_life(self, "system") if life is None else life).kernel.part(ActorSystem)

    @property
    def turn(self) -> Turn:
        """The turn that is being run: its key, its attempt, `await self.turn.settled()`."""
        return _turn_of(_life(self, "turn"))

    def now(self) -> datetime:
        """The time of this call by the node's clock, in UTC and aware of it.

        It goes on during a turn, and a retry sees a later time, because a message that has waited must be able to tell
        that it is late. Only `random` repeats.
        """
        return datetime.fromtimestamp(_life(self, "now").kernel.runtime.now(), UTC)

    @property
    def random(self) -> Random:
        """The turn's source of random numbers. Each attempt of a message draws the same ones, in the same order."""
        turn = _turn_of(_life(self, "random"))
        if turn.draws is None:
            turn.draws = turn.cell.kernel.runtime.random(turn.key)
        return cast("Random", turn.draws)

    def stop(self, reason: ExitReason | None = None) -> None:
        """End this incarnation after the turn, by default with reason "normal". State and mailbox stay."""
        reason = ExitReason.normal() if reason is None else storable(reason)
        _open_turn(self, "stop").part(Leaving).stop(reason)

    def retire(self) -> None:
        """End the actor for good: its state and its mailbox are deleted in the commit of this turn."""
        _open_turn(self, "retire").part(Leaving).retire()

    def monitor(self, ref: ActorRef) -> str:
        """Be told by one `Down` when the actor at `ref` exits: once, and at once if nothing runs there.

        Part of the turn: it takes effect at the finish. A durable actor's monitors are its own for good: they hold over
        its restarts and the node's, and end with their `Down`, with `demonitor` and with `retire`. Those of a
        `durable=False` actor end with its incarnation. Each call is a monitor of its own. OTP: erlang:monitor/2.

        Returns:
            The monitor's id, which `Down.monitor` has and `demonitor` takes.

        Raises:
            TurnClosed: outside a turn. UnhandledMessage: the class has no handler for `Down`. TooManyMonitors
        """
        return _open_turn(self, "monitor").part(RelationChanges).monitor(ref)

    def demonitor(self, monitor: str) -> None:
        """Take a monitor off, when the turn finishes. A `Down` that is on its way by then still comes.

        Raises:
            TurnClosed: outside a turn.
        """
        _open_turn(self, "demonitor").part(RelationChanges).demonitor(monitor)

    def link(self, ref: ActorRef) -> None:
        """Tie two actors together: when one exits, but for a `normal` exit, the other one exits with the same reason.

        With `trap_exits = True` it is told by an `Exited` message in place of that, of `normal` exits too. The link is
        gone then. To link twice makes one link; to link to an actor that doesn't run is an exit at once. Part of the
        turn: it takes effect at the finish. OTP: erlang:link/1.

        Raises:
            TurnClosed: outside a turn. UnhandledMessage: `trap_exits` without a handler for `Exited`. TooManyMonitors
        """
        _open_turn(self, "link").part(RelationChanges).link(ref)

    def unlink(self, ref: ActorRef) -> None:
        """Undo a link, when the turn finishes, whichever end made it.

        Raises:
            TurnClosed: outside a turn.
        """
        _open_turn(self, "unlink").part(RelationChanges).unlink(ref)

    def schedule(
        self,
        message: Message,
        *,
        after_s: float | None = None,
        every_s: float | None = None,
        cron: str | None = None,
        at: datetime | None = None,
        name: str | None = None,
        timezone: str | None = None,
    ) -> str:
        """Tell this actor a message later: exactly one of `after_s`, `every_s`, `cron` and `at` says when.

        Part of the turn: it takes effect at the finish. A durable actor's timer is its own for good: it holds over its
        restarts and the node's, and ends with its last tick, with `cancel` and with `retire`. That of a `durable=False`
        actor ends with its incarnation. A tick is an ordinary message, one for each due time; a single one makes up for
        those that the node missed. OTP: gen_statem's named timeouts.

        Args:
            after_s: once, so many seconds after this call.
            every_s: again and again, at a fixed rate: first after so many seconds, then that long after each due time.
            cron: by a cron expression of five fields, such as `"*/5 * * * *"`, or `"@daily"`; takes `greenroom[cron]`.
            at: once, at that moment, at once if it has passed. A datetime with a time zone.
            name: the timer's, in this actor; by default the message's tag. A timer of that name is replaced.
            timezone: in which the cron expression is meant, such as `"Europe/Berlin"`; by default UTC.

        Returns:
            The name, which `cancel` takes.

        Raises:
            TypeError, ValueError: none of the four or several, or a value that makes no sense.
            TurnClosed: outside a turn. UnhandledMessage: the class has no handler for the message.
            NotAMessage, UndecodableMessage, TooManyTimers
            ExtraMissing: `cron` without `greenroom[cron]`.
        """
        return (
            _open_turn(self, "schedule")
            .part(TimerChanges)
            .schedule(message, after_s=after_s, every_s=every_s, cron=cron, at=at, name=name, timezone=timezone)
        )

    def cancel(self, name: str) -> bool:
        """Take a timer off, when the turn finishes. A tick that waits in the mailbox by then still comes.

        Returns:
            Whether there was one.

        Raises:
            TurnClosed: outside a turn.
        """
        return _open_turn(self, "cancel").part(TimerChanges).cancel(name)

    def stash(self) -> None:
        """Put the message being handled aside, until `unstash_all` or the end of the incarnation.

        Part of the turn, whose state and sends commit as ever: only the message isn't acknowledged. It isn't charged an
        attempt. An asker goes on waiting, until its timeout. Akka: `StashBuffer`; OTP: gen_statem's `postpone`.

        Raises:
            StashFull: as many messages are stashed as the actor's `capacity` allows.
            TurnClosed: outside a turn. RuntimeError: in `on_start` or `on_stop`, where there is no message.
        """
        _open_turn(self, "stash").part(StashChanges).stash()

    def unstash_all(self) -> None:
        """Put all stashed messages back at the head of the mailbox, in their order, when the turn finishes.

        Raises:
            TurnClosed: outside a turn.
        """
        _open_turn(self, "unstash_all").part(StashChanges).unstash_all()

    def join(self, group: str) -> None:
        """Become a member of a group (`system.group(name)`), at once, until `leave` or the end of the incarnation.

        Raises:
            TypeError, ValueError: this is no name for a group, or it is a member of too many.
        """
        life = _running(self, "join")
        life.kernel.part(Groups).join(life.address, group)

    def leave(self, group: str) -> None:
        """Be no member of a group any more, at once."""
        life = _running(self, "leave")
        life.kernel.part(Groups).leave(life.address, group)

    def transaction(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Write to the node's database by SQL, in the same commit as the turn.

        Entering commits everything the turn rests on and begins the user transaction, which lasts until the *turn*
        ends; other turns go on, and their commits queue. It is taken away after the store's `transaction_timeout_s`
        seconds. `ask`, `settled` and a second transaction raise meanwhile. An exception that leaves the block fails
        the turn if it isn't caught; the SQL is rolled back either way.

        Raises:
            RuntimeError: a second transaction in one turn.
            TransactionTimeout: it lasted longer than `transaction_timeout_s` seconds, and was rolled back.
            TurnClosed, StoreFull, StoreUnavailable
        """
        turn = _open_turn(self, "transaction")
        return user_transaction(turn, turn.cell.kernel.part(Exits).cut_off)

    if not TYPE_CHECKING:
        state = NoState()


def _life(actor: Actor[Any], attribute: str) -> Incarnation:
    """The incarnation of an instance. Raises NotRunning if it has none yet."""
    life = actor._context
    if life is None:
        raise NotRunning(type(actor).__qualname__, attribute)
    return life


def _here(actor: Actor[Any], attribute: str) -> Incarnation:
    """The same, for a call that has to come from the node's event loop (else: WrongThread)."""
    life = _life(actor, attribute)
    home = life.kernel.part(Home)
    if home.loop._thread_id != get_ident():
        raise home.stranger(f"self.{attribute}()")
    return life


def _running(actor: Actor[Any], attribute: str) -> Incarnation:
    """The same, for a call that needs it to be alive (else: TurnClosed)."""
    life = _here(actor, attribute)
    if life.cell.incarnation is not life:
        raise TurnClosed(life.address, "life")
    return life


def _turn_of(life: Incarnation) -> Turn:
    """The turn that an incarnation is in.

    Raises:
        TurnClosed: there is none: it is idle, or over.
    """
    turn = life.cell.turn
    if turn is None or turn.incarnation is not life:
        raise TurnClosed(life.address, "none" if life.cell.incarnation is life else "life")
    return turn


def _open_turn(actor: Actor[Any], attribute: str) -> Turn:
    """The open turn, for a call that adds to it (else: NotRunning, WrongThread, TurnClosed)."""
    turn = _turn_of(_here(actor, attribute))
    turn.check_open()
    return turn
