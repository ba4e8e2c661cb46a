"""Client: tell and ask from another process.

    async with Client("sqlite:///bank.db") as client:
        await client.tell("/bank/accounts/alice", Deposit(amount=5))
        print(await client.ask("/bank/accounts/alice", Balance()))

It writes into the inbox of the node's store, and the node takes in the rows that it finds there. So a tell is durable
whether the node runs or not; an ask needs one that does.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, TypeVar, cast

import msgspec

from ...persistence.engines.open import open_store
from ...persistence.errors import StoreFull, StoreUnavailable
from ...persistence.runtime import Runtime, uncancelled
from ...persistence.store.contract import Store
from ...persistence.store.rows import InboxRow
from ..delivery.errors import AskTimeout
from ..kernel.errors import ActorNotFound
from ..messages.codec import round_trip
from ..messages.errors import NotAMessage, ReplyError
from ..messages.message import Message, Request, request_reply_type, tag_of
from .channel import Letterbox
from .wire_errors import error_of

__all__ = ("Client",)

R = TypeVar("R")

ROUNDING_S = 0.05
"""Seconds by which the node gives up on an ask before its asker does, so that an answer that is under
way still arrives."""


class Client:
    """A way to speak to a node's actors from another process, through the node's store. Any number of
    clients may be open."""

    def __init__(self, store: str | Store, *, runtime: Runtime | None = None) -> None:
        """
        Args:
            store: the URL of the node's store, or a `Store` that isn't open yet.

        Raises:
            StoreUrlInvalid
        """
        self._runtime = runtime or Runtime()
        self._store = open_store(store, self._runtime) if isinstance(store, str) else store
        self._letters: Letterbox | None = None

    async def __aenter__(self) -> Client:
        """
        Raises:
            StoreUnavailable: no node has ever run on this store.
            SchemaTooNew, StoreCorrupt
        """
        await self._store.open_reader()
        self._letters = Letterbox(self._store, self._runtime)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A cancellation doesn't cut it short: rows that are being written land, and no connection or thread is left.
        await uncancelled(self._close())

    async def _close(self) -> None:
        letters, self._letters = self._letters, None
        if letters is not None:
            await letters.close()
        await self._store.close()

    async def tell(
        self,
        address: str,
        message: Message,
        *,
        key: str | None = None,
        delay_s: float | None = None,
        priority: int = 0,
    ) -> None:
        """Send a message. When this returns it is on disk, to be handled or dead-lettered as soon as the node runs.

        Only the node knows whether there is such an actor. A message that no actor can handle becomes a dead letter.

        Args:
            key: an idempotency key. The same key to the same mailbox within the retention counts once.
            delay_s: seconds before which it isn't handled.
            priority: higher ones are handled first; order holds within a priority.

        Raises:
            NotAMessage, ActorNotFound (no absolute path), UndecodableMessage
            StoreFull, StoreUnavailable: nothing was kept; `undelivered` is the message.
        """
        row = self._row("tell", address, message)
        if key is not None:
            key.encode()  # a key that can't be stored is the caller's error, not that of a whole batch
        due = self._runtime.now() + delay_s if delay_s else None
        await self._put(row._replace(key=key, due=due, priority=priority), message)

    async def ask(self, address: str, request: Request[R], *, timeout_s: float = 5.0) -> R:
        """Send a request and wait for its reply, which comes when everything that it rests on is committed.

        Raises:
            AskTimeout: no reply within `timeout_s` seconds (or no node runs). A request that has expired isn't run.
            AskFailed: the handler raised; `reason` says what.
            ReplyError: the reply is none that this request's class promises.
            NotAMessage, ActorNotFound, UnhandledMessage, UnknownMessageType, UndecodableMessage, MailboxFull
            StoreFull, StoreUnavailable
        """
        now, began = self._runtime.now(), self._runtime.monotonic()
        row = self._row("ask", address, request)
        expires = now + max(timeout_s - ROUNDING_S, timeout_s / 2)
        row_id = await self._put(row._replace(expires=expires, wants_reply=1), request)
        left_s = timeout_s - (self._runtime.monotonic() - began)
        reply = await self._open_letters().reply(row_id, max(0.0, left_s))
        if reply is None:
            raise AskTimeout(address, request, timeout_s)
        if not reply.ok:
            error = error_of(reply, address, request)
            if isinstance(error, AskTimeout):  # its figure is the time that was left when the node took the request in
                raise AskTimeout(address, request, timeout_s)
            raise error
        kind: Any = request_reply_type(type(request))
        try:
            return cast(R, msgspec.json.decode(reply.body, type=kind))
        except msgspec.DecodeError as error:
            raise ReplyError(address, row.type, str(error)) from None

    def _row(self, kind: str, address: str, message: Message) -> InboxRow:
        if not isinstance(message, Message):
            raise NotAMessage(message)
        if (
            not isinstance(address, str)
            or not address.startswith("/")
            or address.endswith("/")
            or not address.isprintable()
        ):
            raise ActorNotFound(str(address), 'an address is an absolute path, such as "/bank/ledger"')
        body = round_trip(address, message)[0].decode()
        uid, tag = self._runtime.uid(), tag_of(type(message))
        return InboxRow(0, uid, kind, address, tag, body, None, 0, None, None, 0)

    async def _put(self, row: InboxRow, message: Message) -> int:
        try:
            return await self._open_letters().put(row)
        except (StoreFull, StoreUnavailable) as error:
            raise error.handing_back(message) from None

    def _open_letters(self) -> Letterbox:
        if self._letters is None:
            raise StoreUnavailable("the client isn't open: use it inside `async with Client(url) as client`")
        return self._letters
