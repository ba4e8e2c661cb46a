"""`greenroom send` and `greenroom ask`: a message to an actor, from the shell."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from ....actors.delivery.guard import (
    checked_address,
    checked_delay,
    checked_key,
    checked_priority,
    checked_timeout,
)
from ....actors.kernel.errors import SEE_TRACEBACK, ActorNotFound
from ....actors.messages.message import TAG_FIELD
from ....persistence.runtime import Runtime
from ....persistence.store.rows import InboxRow
from ..view.desk import NodeRefused
from ..view.output import AsJson, note, print_json
from ..view.target import CommandFailed, Target, UsageWrong, open_desk

__all__ = ("ask", "send")

SEND_WAIT_S = 2.0
"""Seconds that `send` waits for a running node to say that it has taken the message."""


def send(
    address: str,
    type_: str,
    body: str = "{}",
    /,
    *,
    key: str | None = None,
    delay_s: float | None = None,
    priority: int = 0,
    target: Target | None = None,
    as_json: AsJson = False,
) -> None:
    """Tell an actor a message. It is on disk when this command ends; if no node runs, it waits for the next one.

    Ends with 1 if a running node refuses it: no such actor, an unknown type, a body that doesn't fit. The message is
    kept as a dead letter then.

    For example:

        greenroom send /bank/accounts/alice Deposit '{"amount": 5}'

        greenroom send /bank/ledger Close --delay-s 60 --key close-2031-05

    Parameters
    ----------
    address
        The actor's, such as /bank/ledger.
    type_
        The message's type: its class's name, or its tag.
    body
        Its fields, as a JSON object.
    key
        Idempotency key: the same key to the same actor counts once.
    delay_s
        Seconds until it may be handled.
    priority
        Higher ones are handled first.
    """
    row = _row("tell", address, type_, body)
    with _usage():
        key = None if key is None else checked_key(key)
        delay_s = None if delay_s is None else checked_delay(delay_s)
        priority = checked_priority(priority)
    asyncio.run(_send(row, key, delay_s, priority, target, as_json))


async def _send(
    row: InboxRow, key: str | None, delay_s: float | None, priority: int, target: Target | None, as_json: bool
) -> None:
    async with open_desk(target) as desk:
        running = desk.node() is not None
        due = desk.runtime.now() + delay_s if delay_s else None
        row = row._replace(key=key, due=due, priority=priority, wants_reply=int(running))
        reply = await desk.leave(row, SEND_WAIT_S)
    if reply is not None and not reply.ok:
        raise NodeRefused(f"{reply.error}\nIt was kept as a dead letter: `greenroom dead list {row.address}`")
    taken = reply is not None
    if as_json:
        print_json({"address": row.address, "type": row.type, "taken": taken})
    elif taken:
        note(f"{row.type} to {row.address} was taken")
    elif running:
        note(f"{row.type} to {row.address} is on disk; the node has not taken it in yet")
    else:
        note(f"{row.type} to {row.address} is on disk; no node runs, the next one takes it in")


def ask(
    address: str,
    type_: str,
    body: str = "{}",
    /,
    *,
    timeout_s: float = 5.0,
    target: Target | None = None,
) -> None:
    """Ask an actor and print its reply as JSON. Needs a running node.

    For example:

        greenroom ask /bank/accounts/alice Balance

        greenroom ask /bank/ledger Total '{"currency": "EUR"}' --timeout-s 30

    Parameters
    ----------
    address
        The actor's, such as /bank/ledger.
    type_
        The request's type: its class's name, or its tag.
    body
        Its fields, as a JSON object.
    timeout_s
        Seconds to wait for the reply. A request that has expired isn't run.
    """
    row = _row("ask", address, type_, body)
    with _usage():
        timeout_s = checked_timeout(timeout_s)
    asyncio.run(_ask(row, timeout_s, target))


async def _ask(row: InboxRow, timeout_s: float, target: Target | None) -> None:
    async with open_desk(target) as desk:
        if desk.node() is None:
            raise CommandFailed("no node runs on this store, so nobody can answer: start one with `greenroom run`")
        reply = await desk.exchange(row._replace(wants_reply=1), timeout_s)
    if not reply.ok:
        raise NodeRefused(_with_traceback(reply.error, reply.body))
    print_json(msgspec.json.decode(reply.body))


@contextmanager
def _usage() -> Iterator[None]:
    """A value that no door takes (actors/delivery/guard.py) is a mistake in the command line."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise UsageWrong(str(error)) from None


def _row(kind: str, address: str, type_: str, body: str) -> InboxRow:
    try:
        address = checked_address(address)
    except ActorNotFound:
        raise UsageWrong(f"{address!r} is no address: it is an absolute path, such as /bank/ledger") from None
    try:
        fields: Any = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise UsageWrong(f"the body is no JSON: {error}") from None
    if not isinstance(fields, dict):
        raise UsageWrong("the body is a JSON object, such as '{\"amount\": 5}'")
    if fields.setdefault(TAG_FIELD, type_) != type_:
        raise UsageWrong(f"the body says {TAG_FIELD} {fields[TAG_FIELD]!r}, and the command says {type_!r}")
    tagged = {TAG_FIELD: type_, **fields}
    return InboxRow(
        0, Runtime().uid(), kind, address, type_, msgspec.json.encode(tagged).decode(), None, 0, None, None, 0
    )


def _with_traceback(error: str, details: str) -> str:
    """The error of the actor in words, with its traceback if the node sent one."""
    found: Any = msgspec.json.decode(details)
    reason = found.get("reason") if isinstance(found, dict) else None
    traceback = reason.get("traceback", "") if isinstance(reason, dict) else ""
    return f"{error.removesuffix(f'. {SEE_TRACEBACK}')}\n{traceback.rstrip()}" if traceback else error
