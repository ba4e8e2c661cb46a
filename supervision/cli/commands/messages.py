"""`greenroom messages`: the messages that wait in the mailboxes, and in the node's inbox."""

from __future__ import annotations

import asyncio
from typing import Any

from cyclopts import App

from ....persistence.store.rows import AttemptRow, InboxRow, MessageRow
from ..view.damage import checked
from ..view.output import AsJson, moment, parsed, print_json, print_pairs, print_table
from ..view.paging import Limit, page
from ..view.target import CommandFailed, Target, UsageWrong, open_desk

__all__ = ("messages",)

messages = App(name="messages", help="List and show the messages that wait.")

COLUMNS = ("id", "where", "address", "type", "attempts", "due", "body")
INBOX = "inbox:"


@messages.command(name="list")
def list_messages(
    address: str | None = None, /, *, target: Target | None = None, limit: Limit = 100, as_json: AsJson = False
) -> None:
    """List the messages that aren't handled yet, oldest first; then those in the inbox that no node has taken in yet.

    For example:

        greenroom messages list

        greenroom messages list /bank/ledger --json

    Parameters
    ----------
    address
        Only those of this mailbox.
    """
    asyncio.run(_list(address, target, limit, as_json))


async def _list(address: str | None, target: Target | None, limit: int, as_json: bool) -> None:
    equal: dict[str, Any] = {} if address is None else {"address": address}
    async with open_desk(target) as desk:
        found = [
            _entry(row, await desk.store.scan(AttemptRow, id=row.id))
            for row in await desk.store.scan(MessageRow, limit=limit + 1, **equal)
        ]
        if len(found) <= limit:
            async for waiting in desk.store.iterate(InboxRow, **equal):
                if waiting.kind == "tell":
                    found.append(_inbox_entry(waiting))
                if len(found) > limit:
                    break
    entries = page(found, limit, "messages")
    if as_json:
        print_json(entries)
    else:
        shown = [{**entry, "due": moment(entry["due"])} for entry in entries]
        print_table(shown, COLUMNS, empty="no message waits" if address is None else f"no message waits for {address}")


@messages.command
def show(message_id: str, /, *, target: Target | None = None, as_json: AsJson = False) -> None:
    """Show one message that waits.

    For example:

        greenroom messages show 1234

        greenroom messages show inbox:5

    Parameters
    ----------
    message_id
        The id that `messages list` gives.
    """
    asyncio.run(_show(message_id, target, as_json))


async def _show(message_id: str, target: Target | None, as_json: bool) -> None:
    number = message_id.removeprefix(INBOX)
    if not number.isdecimal():
        why = f"{message_id!r} is no id: it is a number, or {INBOX} and a number"
        raise UsageWrong(f"{why}. `greenroom messages list` gives them")
    entry: dict[str, Any] | None = None
    async with open_desk(target) as desk:
        if message_id.startswith(INBOX):
            for waiting in await desk.store.scan(InboxRow, id=int(number)):
                entry = _inbox_entry(waiting)
        else:
            for row in await desk.store.messages([int(number)]):
                entry = _entry(row, await desk.store.scan(AttemptRow, id=row.id))
    if entry is None:
        raise CommandFailed(f"no message {message_id} waits: it was handled, retired, or became a dead letter")
    if as_json:
        print_json(entry)
    else:
        print_pairs({**entry, "due": moment(entry["due"])}.items())


def _entry(row: MessageRow, attempts: list[AttemptRow]) -> dict[str, Any]:
    attempt = attempts[0] if attempts else None
    entry: dict[str, Any] = {
        "id": row.id,
        "where": "mailbox",
        "address": row.address,
        "type": row.type,
        "attempts": 0 if attempt is None else attempt.count,
        "cause": None if attempt is None else attempt.cause,
        "due": row.due if attempt is None else attempt.due,
        "priority": row.priority,
        "key": row.key,
        "sender": row.sender,
        "uid": row.uid,
        "body": parsed(row.body),
    }
    return checked(entry, row, where="damaged")


def _inbox_entry(row: InboxRow) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": f"{INBOX}{row.id}",
        "where": "inbox",
        "address": row.address,
        "type": row.type,
        "attempts": 0,
        "cause": None,
        "due": row.due,
        "priority": row.priority,
        "key": row.key,
        "sender": "",
        "uid": row.uid,
        "body": parsed(row.body),
    }
    return checked(entry, row, where="damaged")
