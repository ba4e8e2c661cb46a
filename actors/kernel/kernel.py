"""Kernel: the state that every part of a node shares. It knows no feature.

A part is given the kernel and, by name, the parts that it calls. A feature's part is found by its class:
`kernel.part(Timers)`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar, cast

from loguru import logger

from ...persistence.commit.committer import Committer
from ...persistence.commit.effects import Effects, Entry
from ...persistence.errors import GreenroomError, StoreDataError, StoreError, StoreFull, StoreUnavailable
from ...persistence.events import Events
from ...persistence.runtime import Runtime, failure_of
from ...persistence.store.contract import Store
from ...persistence.store.rows import OwnerRow, Row
from ..definition.handlers import Handlers
from ..mailbox.delayed import Delayed
from ..mailbox.envelope import Envelope
from ..mailbox.index import MailIndex
from ..messages.message import Message, tag_of
from ..messages.signals import Exit, ExitReason
from .errors import SystemStopped
from .hooks import Activator, Caution, Extension, Hooks, Owed, Routing, Scheduler
from .settings import Settings

if TYPE_CHECKING:
    from .cell import Cell

__all__ = ("Kernel",)

T = TypeVar("T")

THREE_DIGITS = tuple(f"{number:03x}" for number in range(0x1000))


class Idle:
    """The futures of the callers that wait for a node to be idle."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    def __bool__(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting)

    async def wait(self) -> None:
        """Return when it may be idle. The caller checks whether it is."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    def wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


class Kernel:
    """One node's kernel: one store, one commit queue, one clock."""

    scheduler: Scheduler
    router: Routing
    activator: Activator
    """The three are set when the node is put together (system.py, and supervision/node)."""

    def __init__(self, store: Store, runtime: Runtime, owner: OwnerRow, settings: Settings) -> None:
        self.store = store
        self.runtime = runtime
        self.settings = settings
        self.boot = owner.epoch
        self.attempts = store.attempts
        self.events = Events(runtime.now)
        self.jitter = runtime.random()
        self.cells: dict[str, Cell] = {}
        self.committer = Committer(
            store,
            runtime,
            commit_no=owner.commit_no,
            refused=_refused,
            broken=self._broken,
            bug=self.bug,
            at_work=self._at_work,
        )
        self.commits = self.committer.queue
        self.delayed = Delayed(runtime, self._redeliver, self.maybe_idle)
        self.index = MailIndex()
        self.handlers = Handlers()
        """Handlers of messages that every actor answers."""
        self.hooks = Hooks(())
        self.caution: Caution | None = None
        """The care after a crash, while suspects exist; None in ordinary times."""
        self.stepping: Any = None
        """The turn whose code is on the CPU at this moment; the watchdog reads it."""
        self.on_broken: Callable[[StoreError, bool], object] = _unheard
        """Called when the store has failed, and everything uncommitted is gone."""
        self.closing = False
        self.interrupted = False
        """Whether a Ctrl-C was raised in a task of the node's own."""
        self.over = False
        """Whether nothing can be told any more, because the node is closing, or gave up."""
        self.resetting = False
        """Whether the tree is being reset from the store."""
        self.inbox_read = False
        """Whether the inbox was read since the boot."""
        self.gave_up: GreenroomError | None = None
        """The error with which the node is over, because the root has exited or the store is lost."""
        self.gave_up_error: Callable[[ExitReason], GreenroomError] = _gave_up
        """Makes the error of a root that exited."""
        self.root: Cell | None = None
        self.idle = Idle()
        self.background_tasks: dict[asyncio.Task[Any], None] = {}
        self.services: list[asyncio.Task[Any]] = []
        self.ended = asyncio.Event()
        """Set when the root has exited by itself, or the store is lost for good."""
        self._parts: dict[type, Any] = {}
        self._extensions: list[Extension] = []
        self._last_id = 0
        self._incarnations = 0
        self._uids = 0
        self._uid_prefix = runtime.uid()[:20]
        self._uid_block = f"{self._uid_prefix}{0:09x}"

    # -- parts -------------------------------------------------------------------------------------------

    def add_parts(self, *parts: object) -> None:
        """Make parts known by their classes. Those that are extensions are hooked in, in this order."""
        self._parts.update((type(part), part) for part in parts)
        self._extensions += [part for part in parts if isinstance(part, Extension)]
        self.hooks = Hooks(self._extensions)

    def part(self, kind: type[T]) -> T:
        """The part of this class."""
        return self._parts[kind]  # type: ignore[no-any-return]  # `cast` would be a call of Python

    # -- identity ----------------------------------------------------------------------------------------

    def next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    @property
    def last_id(self) -> int:
        """The highest sequence number that was given."""
        return self._last_id

    def seen_id(self, row_id: int) -> None:
        self._last_id = max(self._last_id, row_id)

    def next_uid(self) -> str:
        """128 bits: 80 random ones of this boot, and a counter."""
        self._uids = number = self._uids + 1
        if not number & 0xFFF:
            self._uid_block = f"{self._uid_prefix}{number >> 12:09x}"
        return self._uid_block + THREE_DIGITS[number & 0xFFF]

    def next_incarnation(self) -> int:
        self._incarnations += 1
        return self._incarnations

    def wrap(self, address: str, message: Message, uid: str = "") -> Envelope:
        """Make an envelope for a message that travelled without one; with its uid, if that has been asked for."""
        return Envelope(address, uid or self.next_uid(), message, tag_of(type(message)), None)

    @property
    def root_address(self) -> str:
        return "/" if self.root is None else self.root.address

    # -- exits and addresses -------------------------------------------------------------------------------

    def exited(self, cell: Cell, end: Exit | None) -> None:
        """Tell features that an incarnation is over, if its address concerns any of them.

        `end` is None for a first start that failed.
        """
        if self.hooks.concerns(cell.address):
            for ended in self.hooks.ended:
                ended(cell, end)

    def owed(self, end: Exit, after: int, *, ahead: bool = False) -> list[Owed]:
        """The messages and deletions that will be owed because of an exit, of every feature. Changes nothing."""
        found: list[Owed] = []
        if not self.hooks.concerns(end.address):
            return found
        for exiting in self.hooks.exiting:
            owed = exiting(end, after, ahead=ahead)
            if owed is not None:
                found.append(owed)
        return found

    def rows_of(self, address: str) -> list[tuple[type[Row], Any]]:
        """The rows of features that belong to an address, by kind and key."""
        return [row for rows in self.hooks.rows_of for row in rows(address)]

    def forget(self, address: str) -> None:
        """Tell features to forget an address in memory, because it is being deleted."""
        for forget in self.hooks.forget:
            forget(address)

    def keeps(self, cell: Cell) -> bool:
        """Whether a feature needs the cell in memory."""
        return any(keeps(cell) for keeps in self.hooks.keeps)

    # -- tasks -----------------------------------------------------------------------------------------------

    def background(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Start a task of the node's own, or of a TaskSupervisor; the stop cancels it."""
        task = self.runtime.spawn(coroutine, name)
        self.background_tasks[task] = None
        task.add_done_callback(self._background_done)
        return task

    def disown(self, task: asyncio.Task[Any]) -> None:
        """Wait for a task no longer, because it swallows its cancellation."""
        self.background_tasks.pop(task, None)
        self.maybe_idle()

    def serve(self, coroutine: Coroutine[Any, Any, Any], name: str) -> None:
        """Start a task that runs as long as the node, and doesn't keep it from being idle."""
        task = self.runtime.spawn(coroutine, name)
        self.services.append(task)
        task.add_done_callback(self._service_done)

    def _service_done(self, task: asyncio.Task[Any]) -> None:
        if (error := failure_of(task)) is not None:
            self.bug(error)

    def _background_done(self, task: asyncio.Task[Any]) -> None:
        self.background_tasks.pop(task, None)
        if (error := failure_of(task)) is not None:
            self.bug(error)
        self.maybe_idle()

    # -- the store ---------------------------------------------------------------------------------------------

    def _broken(self, error: StoreError, charged: bool) -> None:
        self.on_broken(error, charged)

    def _redeliver(self, address: str, entry: Envelope | int) -> None:
        self.router.redeliver(address, entry)

    def _at_work(self) -> bool:
        return self.scheduler.waiting

    def store_failed(self, error: StoreError) -> None:
        """Report that a read or a user transaction failed, as the committer reports a commit."""
        self.committer.fail(error)

    def refusal(self, failure: StoreError, undelivered: object) -> StoreError:
        """The error of a tell while the store is broken. It hands the message back."""
        if isinstance(failure, StoreFull | StoreUnavailable):
            return failure.handing_back(undelivered)
        if isinstance(failure, StoreDataError):
            return StoreUnavailable("the tree is being reset from the database", undelivered=undelivered)
        return failure

    def report_damage(self, error: Exception, effect: str, address: object = None) -> None:
        """Report that a row is damaged, and that the node goes on.

        Args:
            effect: the consequence, in words.
            address: the address that it concerns, as the damaged row has it.
        """
        about = address if isinstance(address, str) else self.root_address
        self.events.emit("store.row_damaged", about, text=str(error), effect=effect)

    # -- idleness ------------------------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        return not (
            self.scheduler.busy
            or self.commits.pending
            or self.commits.failure is not None
            or self.delayed.retries
            or self.delayed.overdue
            or self.background_tasks
            or self.resetting
            or any(extension.busy for extension in self.hooks.busy)
        )

    @property
    def watched(self) -> bool:
        """Whether anything depends on idleness at the moment."""
        return bool(self.idle) or self.caution is not None

    def maybe_idle(self) -> None:
        """Wake the callers that wait for idleness, if it may have come."""
        if not self.watched:
            return
        if self.caution is not None and self.inbox_read and self.is_idle:
            self.caution.rested()
        if self.is_idle or self.gave_up is not None or self.commits.pending:
            self.idle.wake()

    # -- the end -------------------------------------------------------------------------------------------------

    @property
    def cut_short(self) -> bool:
        """Whether the event loop ends under the node (asyncio.Runner: at a second Ctrl-C)."""
        return self.interrupted or self.committer.cancelled

    def check_running(self) -> None:
        """
        Raises:
            SystemStopped, StoreError: nothing can be told at the moment.
        """
        if self.over:
            raise SystemStopped(because=self.gave_up)
        if self.commits.failure is not None:
            raise self.commits.failure

    def close_doors(self) -> None:
        """Refuse from now on everything that is told."""
        self.over = True
        for cell in self.cells.values():
            cell.light = False

    def root_exited(self, reason: ExitReason) -> None:
        if not self.closing:
            self.give_up(self.gave_up_error(reason))

    def bug(self, error: BaseException) -> None:
        """End the node, because a task of its own raised an exception: it must not run on half dead."""
        if isinstance(error, Exception):
            logger.opt(exception=error).error("greenroom itself failed")
        else:  # a Ctrl-C has hit this task; it goes through to the caller that runs the loop
            self.interrupted = True
        if not isinstance(error, GreenroomError):
            bug = GreenroomError(repr(error))
            bug.__cause__ = error
            error = bug
        self.give_up(error)

    def give_up(self, error: GreenroomError) -> None:
        """End the node: nothing can be told any more, and asks are refused."""
        if self.gave_up is not None:
            return
        self.gave_up = error
        self.close_doors()
        self.events.emit("node.gave_up", self.root_address, reason=type(error).__name__, text=str(error))
        for cell in self.cells.values():
            cell.refuse_asks()
        self.ended.set()
        self.maybe_idle()


def _refused(entry: Entry, error: StoreDataError) -> Effects | None:
    """Let the owner of refused data answer for them. None if they have none."""
    guilty = entry.guilty
    return None if guilty is None else cast("Effects | None", guilty.refused(entry, error))


def _unheard(error: StoreError, charged: bool) -> None:  # noqa: ARG001 - nothing is put together yet
    raise error


def _gave_up(reason: ExitReason) -> GreenroomError:
    return GreenroomError(f"the root exited: {reason}")
