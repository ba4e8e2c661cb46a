"""Inbox: requests and messages of other processes to this node, taken in by commits of its own.

Clients and the command line insert rows into the `inbox` table; only the node writes other tables. A tell becomes a
message row and its inbox row goes in the same commit, so that it is taken in once. The reply of an ask, and the outcome
of an administration, come back as rows.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from loguru import logger

from ...persistence.commit.effects import Effects, Entry
from ...persistence.errors import GreenroomError, RecordCorrupt, StoreDataError, StoreError, StoreLost
from ...persistence.store.attempts import is_uid
from ...persistence.store.checksums import seal, verify
from ...persistence.store.rows import DeadLetterRow, InboxRow, ReplyRow
from ..definition.decoding import decode_body
from ..delivery.errors import KeyUnsupported
from ..delivery.guard import AHEAD_S_MAX, check_request
from ..delivery.keys import Keys
from ..delivery.tell import Delivery
from ..kernel.cell import Cell
from ..kernel.errors import AskFailed
from ..kernel.hooks import Extension
from ..kernel.kernel import Kernel
from ..kernel.settings import REPLY_RETENTION_S
from ..mailbox.envelope import Envelope
from ..mailbox.mailbox import SYSTEM
from ..messages.errors import UndecodableMessage
from ..messages.message import ENCODER, Request, tag_of
from ..messages.signals import ExitReason
from .wire_errors import details_of

__all__ = ("Inbox",)

LEFT_S_MIN = 0.001
"""Seconds that a request has which was taken in at its last moment."""
ROWS = 500
"""The number of inbox rows that are taken in at once."""
CAUSES = {
    "ActorNotFound": "no_actor",
    "KeyConflict": "rejected",
    "KeyDamaged": "corrupt",
    "KeyUnsupported": "rejected",
    "RecordCorrupt": "corrupt",
    "StoreDataError": "failed",
    "UnknownMessageType": "unknown_type",
}
"""The causes of dead letters, by the error. For other errors the body doesn't fit."""

Administration = Callable[[str, str, bytes], Awaitable[Any]]


class Taken:
    """A message of an inbox row that was taken in. It answers for its data, if the database refuses them."""

    __slots__ = ("_envelope", "_id", "_refused")

    def __init__(self, row_id: int, envelope: Envelope, refused: dict[int, StoreError]) -> None:
        self._id = row_id
        self._envelope = envelope
        self._refused = refused

    def refused(self, entry: Entry, error: StoreDataError) -> Effects | None:
        self._refused[self._id] = error
        return self._envelope.refused(entry, error)


class Inbox(Extension):
    """The inbox of one node."""

    def __init__(self, kernel: Kernel, administer: Administration) -> None:
        """
        Args:
            administer: called with command, address and JSON arguments. Its result, or the GreenroomError that it
                raises, is the reply.
        """
        self._kernel = kernel
        self._delivery = kernel.part(Delivery)
        self._keys = kernel.part(Keys)
        self._administer = administer
        self._done = 0
        """The id up to which every row has been dealt with, or is at work."""
        self._taken: set[int] = set()
        """Ids of rows beyond that one that have been dealt with, because a row before them is held."""
        self._held = False
        """Whether a row waits for room in its mailbox. It is looked at again although no row has been written."""
        self._resets = 0
        self.refused: dict[int, StoreError] = {}
        """Rows whose data the database has refused, or whose key is damaged there. They aren't tried again."""
        self._replies: deque[tuple[float, int]] = deque()
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        """Poll until cancelled. A look that finds nothing costs microseconds."""
        kernel = self._kernel
        while True:
            if kernel.commits.failure is None:
                try:
                    if kernel.store.inbox_changed() or self._held or not kernel.inbox_read:
                        await self.take_in()
                        if kernel.caution is not None:
                            kernel.maybe_idle()
                except StoreLost as error:
                    kernel.committer.fail(error)
                except StoreError as error:
                    logger.warning("the inbox can't be read: {}", error)
            await kernel.runtime.poll(kernel.settings.inbox_poll_s)

    async def drain(self) -> None:
        """Take in everything that is there. `idle` waits for this, too."""
        if self._kernel.commits.failure is None:
            await self.take_in()

    async def take_in(self) -> None:
        async with self._lock:
            try:
                await self._take_in()
            except BaseException:  # cancelled, or it can't be read: the rows that weren't reached are still there
                self._held = True
                raise

    async def _take_in(self) -> None:
        full: set[str] = set()
        after, resets = self._done, self._resets
        held = False
        while rows := await self._kernel.store.scan(InboxRow, after=(after,), limit=ROWS):
            if self._resets != resets:
                return  # these rows are read again
            for row in rows:
                after = row.id
                if row.id not in self._taken:
                    waits = row.address in full and row.kind != "admin"
                    if not waits and row.key is not None:
                        waits = not await self._look_up(row)
                        if self._resets != resets:
                            return
                    if waits or not self._take(row):
                        full.add(row.address)
                        held = True
                        continue
                    self._taken.add(row.id)
                if not held:
                    self._done = row.id
        if self._resets != resets:
            return
        self._held = held
        self._taken = {row_id for row_id in self._taken if row_id > self._done}
        self._kernel.inbox_read = True
        self._purge()

    async def _look_up(self, row: InboxRow) -> bool:
        """Get a row's key from the store, so that `_take` knows it. No row behind it may pass it
        meanwhile. False: wait."""
        try:
            await self._keys.look_up((row.address, str(row.key)))
        except StoreError:
            return False
        return True

    def _take(self, row: InboxRow) -> bool:
        """Deal with one row. Returns False if its mailbox is full, so that it has to wait."""
        try:
            verify(row)
            if not is_uid(row.uid):  # the writer of the row isn't one of ours
                row = row._replace(uid=self._kernel.next_uid())
            if self.refused and (refused := self.refused.pop(row.id, None)) is not None:
                self._refuse(row, refused)
                return True
            if row.expires is not None and row.expires < self._kernel.runtime.now():
                self._forget(row)
                return True
            if row.kind == "admin":
                self._start(row, self._administer(row.type, row.address, row.body.encode()))
                return True
            cell = self._kernel.router.resolve(row.address)
            message = _decoded(cell, row)
            if cell.mailbox.count >= cell.options.capacity:
                return False
            if row.kind == "ask":
                check_request(message)
                caution = self._kernel.caution
                if caution is not None and caution.acquit(row.uid):  # an ask is never run twice
                    reason = ExitReason.killed("the node died while the request was being handled")
                    raise AskFailed(row.address, reason)
                self._start(row, self._ask(cell, message, row))
            else:
                self._tell(cell, message, row)
        except RecordCorrupt as error:
            self._park(row, error)
        except StoreError:
            return False  # the row stays for the time when the store is back
        except GreenroomError as error:
            self._refuse(row, error)
        return True

    def _tell(self, cell: Cell, message: Any, row: InboxRow) -> None:
        if row.key is not None and not cell.durable:
            raise KeyUnsupported(row.address, str(row.key))
        if row.due is not None and not row.due - self._kernel.runtime.now() <= AHEAD_S_MAX:
            raise UndecodableMessage(row.address, row.type, f"it is due at {row.due!r}, which is no time to wait for")
        body = ENCODER.encode(message)
        # It may have come under an alias.
        envelope = Envelope(row.address, row.uid, message, tag_of(type(message)), body)
        envelope.priority = min(max(row.priority, 1 - SYSTEM), SYSTEM - 1)
        envelope.due, envelope.key = row.due, row.key
        # This looks in memory, because `_look_up` has asked the store.
        known = envelope.key is not None and self._keys.seen_lately(envelope) is not None
        if not known:
            taken = Taken(row.id, envelope, self.refused)
            self._delivery.accept(cell, envelope, deletes=((InboxRow, row.id),), guilty=taken)
        if row.wants_reply:
            self._reply(row, True, "null", "")
        elif known or not cell.durable:
            self._forget(row)

    async def _ask(self, cell: Cell, request: Request[Any], row: InboxRow) -> Any:
        left_s = 60.0 if row.expires is None else row.expires - self._kernel.runtime.now()
        left_s = min(max(left_s, LEFT_S_MIN), AHEAD_S_MAX)
        result = await self._delivery.asks.ask(cell, request, left_s, row.uid)
        spec = cell.handler_for(type(request))  # None: the runtime has answered
        return result if spec is None else msgspec.Raw(spec.encoded(result)[0])

    def _start(self, row: InboxRow, work: Awaitable[Any]) -> None:
        self._kernel.background(self._finish(row, work), f"greenroom inbox {row.id}")

    async def _finish(self, row: InboxRow, work: Awaitable[Any]) -> None:
        try:
            result = ENCODER.encode(await work).decode()
        except StoreError as error:
            if isinstance(error, RecordCorrupt):  # the row that it is about is damaged
                self._refuse(row, error)
            elif isinstance(error, StoreDataError):
                self.refused[row.id] = error
            # The row stays, because the tree is being reset, and the inbox is read again then.
        except GreenroomError as error:
            self._refuse(row, error)
        except Exception as error:  # a row of another process must not end the node, at this boot and the next
            logger.opt(exception=error).error("inbox row {} ({} {}) failed", row.id, row.kind, row.type)
            self._refuse(row, AskFailed(row.address, ExitReason.from_exception(error)))
        else:
            self._reply(row, True, result, "")

    def _reply(self, row: InboxRow, ok: bool, body: str, error: str) -> None:
        now = self._kernel.runtime.now()
        reply = seal(ReplyRow(row.id, int(ok), body, error, now))
        rows = (reply,) if row.wants_reply else ()
        self._submit(Effects(rows=rows, deletes=((InboxRow, row.id),)))
        if rows:
            self._replies.append((now, row.id))

    def _forget(self, row: InboxRow) -> None:
        self._submit(Effects(deletes=((InboxRow, row.id),)))

    def _refuse(self, row: InboxRow, error: GreenroomError) -> None:
        """Refuse a row. A tell is parked, so that it isn't lost; a waiting asker is told."""
        if row.kind == "tell":
            self._park(row, error)
        else:
            self._reply(row, False, details_of(error), f"{type(error).__name__}: {error}")

    def _park(self, row: InboxRow, error: GreenroomError) -> None:
        """Make a dead letter of a row, which may be damaged, so that its columns may hold anything."""
        kernel = self._kernel
        reason = ExitReason.from_exception(error)
        letter = DeadLetterRow(
            id=kernel.next_id(),
            address=str(row.address),
            uid=row.uid if is_uid(row.uid) else kernel.next_uid(),
            sender="",
            key=None if row.key is None else str(row.key),
            type=str(row.type),
            body=str(row.body),
            attempts=0,
            cause=CAUSES.get(type(error).__name__, "undecodable"),
            error=reason.error,
            text=reason.text,
            traceback="",
            at=kernel.runtime.now(),
        )
        self._submit(Effects(rows=(seal(letter),)))
        kernel.events.emit(
            "message.parked",
            letter.address,
            uid=letter.uid,
            type=letter.type,
            cause=letter.cause,
            attempts=0,
            error=letter.error,
            text=letter.text,
        )
        self._reply(row, False, details_of(error), f"{type(error).__name__}: {error}")

    def _submit(self, effects: Effects) -> None:
        try:
            self._kernel.commits.submit(effects)
            self._kernel.commits.request()
        except StoreError:
            pass  # the row is still there, and is taken in again

    def reset(self) -> None:
        """Begin anew, because the tree is reset from the database."""
        self._done = 0
        self._taken.clear()
        self._held = True
        self._resets += 1

    def _purge(self) -> None:
        """Delete old replies of this life. The housekeeping deletes others, and those that no later reply follows."""
        horizon = self._kernel.runtime.now() - REPLY_RETENTION_S
        while self._replies and self._replies[0][0] < horizon:
            self._submit(Effects(deletes=((ReplyRow, self._replies.popleft()[1]),)))


def _decoded(cell: Cell, row: InboxRow) -> Any:
    """
    Raises:
        UnknownMessageType, UndecodableMessage: its sender is told, and may be a person who has mistyped it.
    """
    try:
        return decode_body(cell, row.type, row.body.encode())
    except UndecodableMessage as error:
        raise UndecodableMessage(row.address, row.type, error.why, _REMEDIES.get(row.kind, "")) from None


_REMEDIES = {
    "ask": "Ask again, with the fields that its class has",
    "tell": "Send it again, with the fields that its class has; or, if the class has got new ones since, give them a "
    "default and requeue the dead letter",
}
