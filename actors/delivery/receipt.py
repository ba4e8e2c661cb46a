"""Receipt: the result of a tell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from threading import get_ident
from typing import Any

from ...persistence.errors import StoreDataError, StoreFull, StoreUnavailable
from ...persistence.home import Home
from ..kernel.current import current_turn
from ..kernel.errors import SystemStopped
from ..kernel.kernel import Kernel
from ..messages.message import Message

__all__ = ("DONE", "Receipt")


class Receipt:
    """The result of a tell, which has taken effect already. Awaiting it waits until the message is on disk.

    Inside a turn it is done at once, because the message commits with the turn.

    Raises:
        StoreFull, StoreUnavailable: nothing was kept; `undelivered` is the message.
        StoreDataError: the database refuses this message (it is too big, say); `undelivered` is the message.
        MailboxFull, KeyConflict: of a tell that had to wait in line.
        WrongThread: awaited on another event loop than the node's.
    """

    __slots__ = ("_admitted", "_kernel", "_message", "_position")

    def __init__(
        self,
        kernel: Kernel | None,
        position: int,
        message: Message | None,
        admitted: asyncio.Future[int] | None = None,
    ) -> None:
        self._kernel = kernel
        self._position = position
        self._message = message
        self._admitted = admitted

    def __await__(self) -> Generator[Any, None, None]:
        kernel = self._kernel
        if kernel is None:
            return
        home = kernel.part(Home)
        if home.loop._thread_id != get_ident():
            raise home.stranger("awaiting a receipt")
        try:
            if self._admitted is not None:
                self._position = yield from asyncio.shield(self._admitted)
                self._admitted = None
            position, commits = self._position, kernel.commits
            if position > commits.committed and kernel.committer.pace.quick and current_turn.get() is None:
                yield  # one round of the loop: turns in hand go first, and so do other tellers
                if position > commits.committed:
                    kernel.committer.commit_here()
            if position > commits.committed:
                yield from commits.landing(position)  # raises the error if the position was lost
            elif commits.losses and (error := commits.lost(position)) is not None:
                raise error
        except (StoreFull, StoreUnavailable, StoreDataError) as error:
            raise error.handing_back(self._message) from None

    def when_on_disk(self, then: Callable[[BaseException | None], object]) -> None:
        """Call back once: with None when the message is on disk, or with the error that awaiting would raise."""
        kernel, message = self._kernel, self._message
        if kernel is None:
            then(None)
            return

        def landed(error: BaseException | None) -> None:
            if isinstance(error, StoreFull | StoreUnavailable | StoreDataError):
                error = error.handing_back(message)
            then(error)

        def admitted(future: asyncio.Future[int]) -> None:
            if future.cancelled():
                landed(SystemStopped(undelivered=message))
            elif (error := future.exception()) is not None:
                landed(error)
            else:
                kernel.commits.when(future.result(), landed)

        if self._admitted is not None:
            self._admitted.add_done_callback(admitted)
        else:
            kernel.commits.when(self._position, landed)

    @property
    def committed(self) -> bool:
        """Whether the message is on disk by now (or was told inside a turn, which commits it)."""
        kernel = self._kernel
        if kernel is None:
            return True
        position, admitted = self._position, self._admitted
        if admitted is not None:
            if not admitted.done() or admitted.cancelled() or admitted.exception() is not None:
                return False
            position = admitted.result()
        return position <= kernel.commits.committed and kernel.commits.lost(position) is None


DONE = Receipt(None, 0, None)
"""The receipt of a tell that has nothing to wait for."""
