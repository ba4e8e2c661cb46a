"""`greenroom actors trace`: follows an actor's turns, as they end, beside a running node."""

from __future__ import annotations

import asyncio
import datetime as dt
import sys
from collections.abc import AsyncIterator
from typing import Annotated, Any

from cyclopts import Parameter

from ...printable import printable
from ..view.desk import Desk, NodeSilent
from ..view.output import json_text, note
from ..view.target import CommandFailed, Target, UsageWrong, open_desk

__all__ = ("trace",)

POLL_S = 0.2
"""Seconds between two polls. Meanwhile the node has nothing to do for the trace."""

Lines = Annotated[bool, Parameter(name="--json", negative=(), help="One JSON object a line.")]
ForSeconds = Annotated[float | None, Parameter(name="--for", help="End after so many seconds.")]


def trace(
    address: str,
    /,
    *,
    count: int | None = None,
    for_s: ForSeconds = None,
    target: Target | None = None,
    as_json: Lines = False,
) -> None:
    """Follow an actor's turns: one line for each that ends, until Ctrl-C.

    Turns are shown when they are committed, failures at once. The trace goes on over restarts of the actor
    and the node.

    For example:

        greenroom actors trace /bank/ledger

        greenroom actors trace /bank/accounts/alice --count 10 --for 60 --json

    Parameters
    ----------
    address
        The actor's, such as /bank/ledger.
    count
        End after this many turns.
    """
    if count is not None and count < 1:
        raise UsageWrong(f"--count {count}: it is at least 1")
    if for_s is not None and not for_s > 0:
        raise UsageWrong(f"--for {for_s:g}: seconds are more than 0")
    asyncio.run(_trace(address, count, for_s, target, as_json))


async def _trace(address: str, count: int | None, for_s: float | None, target: Target | None, as_json: bool) -> None:
    async with open_desk(target) as desk:
        if desk.node() is None:
            raise CommandFailed("no node runs on this store, so nothing happens: start one with `greenroom run`")
        shown = 0
        async for turn in _turns(desk, address, for_s):
            sys.stdout.write(f"{json_text(turn) if as_json else printable(_line(turn))}\n")
            sys.stdout.flush()
            shown += 1
            if shown == count:
                return


async def _turns(desk: Desk, address: str, for_s: float | None) -> AsyncIterator[dict[str, Any]]:
    """Yield the turns that the node has collected, as they come.

    Raises:
        NodeRefused: nothing has the address.
        CommandFailed: the node has ended, and none came in its place.
    """
    runtime = desk.runtime
    end = None if for_s is None else runtime.monotonic() + for_s
    page = await _poll(desk, address, None)
    note(f"following {address}; Ctrl-C ends it")
    lost = 0
    while True:
        over = end is not None and runtime.monotonic() >= end
        found = await _poll(desk, address, {"trace": page["trace"], "after": page["last"], "stop": over})
        if found["trace"] is None:
            if over:
                return
            page = await _poll(desk, address, None)
            note("the node no longer had the trace (it was started again, or wasn't polled in time); following again")
            lost = 0
            continue
        page = found
        for turn in page["turns"]:
            yield turn
        if page["dropped"] > lost:
            note(f"{page['dropped'] - lost} turns were dropped: they ended faster than they could be fetched")
            lost = page["dropped"]
        if over:
            return
        if not page["more"]:
            wait_s = POLL_S if end is None else min(POLL_S, max(0.0, end - runtime.monotonic()))
            await runtime.sleep(wait_s)


async def _poll(desk: Desk, address: str, arguments: dict[str, Any] | None) -> dict[str, Any]:
    try:
        page: dict[str, Any] = await desk.administer("actors.trace", address, arguments)
    except NodeSilent as error:
        if desk.node() is None:
            raise CommandFailed(f"the node has ended, and no other came within {error.timeout_s:g} s") from None
        raise
    return page


def _line(turn: dict[str, Any]) -> str:
    at = dt.datetime.fromtimestamp(turn["began"] + turn["duration_ms"] / 1000).isoformat(" ", "milliseconds")[11:]
    parts = [f"{at}  {turn['type']:<20} {turn['outcome']:<9} {turn['duration_ms']:>9.2f} ms"]
    if turn["error"]:
        parts.append(turn["error"])
    if turn["attempt"] > 1:
        parts.append(f"attempt {turn['attempt']}")
    if turn["messages"] > 1:
        parts.append(f"{turn['messages']} messages")
    if turn["sends"]:
        parts.append(f"{turn['sends']} sent")
    if turn["state_changed"]:
        parts.append("state changed")
    if turn["mailbox"]:
        parts.append(f"{turn['mailbox']} waiting")
    if turn["sender"]:
        parts.append(f"from {turn['sender']}")
    return "  ".join(parts)
