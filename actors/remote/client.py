"""Client: tell and ask from another process.

    async with Client("sqlite:///bank.db") as client:
        await client.tell("/bank/accounts/alice", Deposit(amount=5))
        print(await client.ask("/bank/accounts/alice", Balance()))

It writes into the inbox of the node's store, and the node takes in the rows that it finds there. So a tell is durable
whether the node runs or not, and may come before the node's first start; an ask needs a node that runs.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeVar, cast

import msgspec

from ...persistence.engines.open import open_store
from ...persistence.errors import StoreDataError, StoreFull, StoreMissing, StoreUnavailable
from ...persistence.home import Home
from ...persistence.runtime import Runtime, uncancelled
from ...persistence.store.contract import Store
from ...persistence.store.rows import InboxRow
from ..delivery.errors import AskTimeout, NodeNotRunning
from ..delivery.guard import (
    check_message,
    check_request,
    checked_address,
    checked_delay,
    checked_key,
    checked_priority,
    checked_timeout,
)
from ..messages.codec import round_trip
from ..messages.errors import ReplyError
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
        """None until the store is there."""
        self._opening = asyncio.Lock()
        self._home: Home | None = None
        """None outside the block."""

    async def __aenter__(self) -> Client:
        """
        Raises:
            NoEventLoop: no event loop of asyncio runs here.
            StoreUnavailable: the store can't be read, or its schema is of an older version.
            SchemaTooNew, StoreCorrupt
        """
        self._home = Home(call="Client")
        with suppress(StoreMissing):  # the first tell makes it, or the first node
            await self._open()
        return self

    async def _open(self) -> Letterbox:
        """
        Raises:
            StoreMissing: there is no store yet. StoreUnavailable, SchemaTooNew, StoreCorrupt
        """
        async with self._opening:
            if self._letters is None:
                await self._store.open_reader()
                self._letters = Letterbox(self._store, self._runtime)
            return self._letters

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._home is not None:
            self._home.check("leaving the client's block")
            self._home = None
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
            TypeError, ValueError: a key, a delay or a priority that is none.
            StoreFull, StoreUnavailable, StoreDataError: nothing was kept; `undelivered` is the message.
            WrongThread: not on the event loop on which the client was opened.
        """
        self._check_open("tell()")
        row = self._row("tell", address, message)
        if key is not None:
            key = checked_key(key)
        delay_s = 0.0 if delay_s is None else checked_delay(delay_s)
        due = self._runtime.now() + delay_s if delay_s else None
        row = row._replace(key=key, due=due, priority=checked_priority(priority))
        try:
            letters = await self._open()
        except StoreMissing:
            await self._store.create()
            letters = await self._open()
        await self._put(letters, row, message)

    async def ask(self, address: str, request: Request[R], *, timeout_s: float = 5.0) -> R:
        """Send a request and wait for its reply, which comes when everything that it rests on is committed.

        Raises:
            NodeNotRunning: no node runs, so it isn't waited for. Nothing was left in the store.
            AskTimeout: no reply within `timeout_s` seconds. A request that has expired isn't run.
            AskFailed: the handler raised; `reason` says what.
            ReplyError: the reply is none that this request's class promises.
            NotAMessage, ActorNotFound, UnhandledMessage, UnknownMessageType, UndecodableMessage, MailboxFull
            StoreFull, StoreUnavailable, StoreDataError
            TypeError, ValueError: `timeout_s` is no number of seconds above 0.
            WrongThread: not on the event loop on which the client was opened.
        """
        self._check_open("ask()")
        check_request(request)
        timeout_s = checked_timeout(timeout_s)
        now, began = self._runtime.now(), self._runtime.monotonic()
        row = self._row("ask", address, request)
        if self._store.holder() is None:
            raise NodeNotRunning(address, self._store.url)
        try:
            letters = await self._open()
        except StoreMissing:  # a node is about to make it
            raise NodeNotRunning(address, self._store.url) from None
        expires = now + max(timeout_s - ROUNDING_S, timeout_s / 2)
        row_id = await self._put(letters, row._replace(expires=expires, wants_reply=1), request)
        left_s = timeout_s - (self._runtime.monotonic() - began)
        reply = await letters.reply(row_id, max(0.0, left_s))
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
        check_message(message)
        address = checked_address(address)
        body = round_trip(address, message)[0].decode()
        uid, tag = self._runtime.uid(), tag_of(type(message))
        return InboxRow(0, uid, kind, address, tag, body, None, 0, None, None, 0)

    async def _put(self, letters: Letterbox, row: InboxRow, message: Message) -> int:
        try:
            return await letters.put(row)
        except (StoreFull, StoreUnavailable, StoreDataError) as error:
            raise error.handing_back(message) from None

    def _check_open(self, call: str) -> None:
        """
        Raises:
            StoreUnavailable: the client isn't open. WrongThread
        """
        if self._home is None:
            raise StoreUnavailable("the client isn't open: use it inside `async with Client(url) as client`")
        self._home.check(call)
