"""Desk: a store as a command uses it: rows to read, and a node that can be asked if one runs."""

from __future__ import annotations

from typing import Any

import msgspec

from ....actors.remote.channel import Letterbox
from ....persistence.errors import GreenroomError
from ....persistence.runtime import Runtime
from ....persistence.store.contract import Store
from ....persistence.store.rows import InboxRow, ReplyRow
from .output import note

__all__ = ("ADMIN_TIMEOUT_S", "Desk", "NodeRefused", "NodeSilent")

ADMIN_TIMEOUT_S = 10.0
"""Seconds that an administrative command may take. An actor that is stopped for it has its shutdown time."""


LIVE_TIMEOUT_S = 2.0


class NodeRefused(GreenroomError):
    """A node refused a command; the text is its own."""


class NodeSilent(GreenroomError):
    """A node runs, and doesn't answer."""

    def __init__(self, pid: int, timeout_s: float) -> None:
        self.pid = pid
        self.timeout_s = timeout_s
        super().__init__(
            f"the node ({_process(pid)}) did not answer within {timeout_s:g} s. It may be starting, busy, or hanging; "
            "it may still carry out the request"
        )


class Desk:
    def __init__(self, store: Store, runtime: Runtime) -> None:
        self.store = store
        self.runtime = runtime
        self._letters = Letterbox(store, runtime)

    async def close(self) -> None:
        await self._letters.close()
        await self.store.close()

    def node(self) -> int | None:
        """The pid of the node that runs on the store, 0 if that can't be told, None if none does."""
        return self.store.holder()

    async def administer(
        self, command: str, address: str = "/", arguments: Any = None, *, timeout_s: float = ADMIN_TIMEOUT_S
    ) -> Any:
        """Have the node carry out a command; returns its result.

        Raises:
            NodeRefused, NodeSilent
        """
        body = msgspec.json.encode(arguments).decode()
        row = InboxRow(0, self.runtime.uid(), "admin", address, command, body, None, 0, None, None, 1)
        reply = await self.exchange(row, timeout_s)
        if not reply.ok:
            raise NodeRefused(reply.error)
        return msgspec.json.decode(reply.body)

    async def live(self, address: str, **limits: Any) -> list[dict[str, Any]] | None:
        """The actors of a running node, as it describes them (`Listing.live`).

        None if no node runs, or it doesn't answer: the store can still be shown then.
        """
        if self.node() is None:
            return None
        try:
            found: list[dict[str, Any]] = await self.administer(
                "actors.live", address, limits, timeout_s=LIVE_TIMEOUT_S
            )
        except NodeSilent as error:
            note(f"{error}. This is what the store says")
            return None
        return found

    async def exchange(self, row: InboxRow, timeout_s: float) -> ReplyRow:
        """Put a request into the inbox, and wait for its reply. A node doesn't act on it once the time is over.

        Raises:
            NodeSilent
        """
        row = row._replace(expires=self.runtime.now() + timeout_s)
        reply = await self._letters.reply(await self._letters.put(row), timeout_s)
        if reply is None:
            raise NodeSilent(self.node() or 0, timeout_s)
        return reply

    async def leave(self, row: InboxRow, wait_s: float) -> ReplyRow | None:
        """Put a message into the inbox, for the next node that runs. Returns the reply if one comes soon."""
        row_id = await self._letters.put(row)
        return await self._letters.reply(row_id, wait_s) if row.wants_reply else None


def _process(pid: int) -> str:
    return f"process {pid}" if pid else "on another machine, or of another user"
