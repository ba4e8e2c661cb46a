"""ActorContext: what the runtime lends a running actor."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from random import Random  # noqa: TID251 - the name of a type; the draws come from the Runtime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from ..delivery.ref import ActorRef
    from ..messages.message import Message
    from ..messages.signals import ExitReason
    from ..system import ActorSystem
    from .turn import Turn

__all__ = ("ActorContext",)


class ActorContext(Protocol):
    """The runtime's side of one incarnation; `Actor` passes its instance API on to it."""

    @property
    def address(self) -> str: ...

    @property
    def ref(self) -> ActorRef: ...

    @property
    def supervisor(self) -> ActorRef | None: ...

    @property
    def system(self) -> ActorSystem: ...

    @property
    def turn(self) -> Turn: ...

    def now(self) -> datetime: ...

    def random(self) -> Random: ...

    def stop(self, reason: ExitReason) -> None: ...

    def retire(self) -> None: ...

    def monitor(self, ref: ActorRef) -> str: ...

    def demonitor(self, monitor: str) -> None: ...

    def link(self, ref: ActorRef) -> None: ...

    def unlink(self, ref: ActorRef) -> None: ...

    def schedule(
        self,
        message: Message,
        *,
        after_s: float | None,
        every_s: float | None,
        cron: str | None,
        at: datetime | None,
        name: str | None,
        timezone: str | None,
    ) -> str: ...

    def cancel(self, name: str) -> bool: ...

    def stash(self) -> None: ...

    def unstash_all(self) -> None: ...

    def join(self, group: str) -> None: ...

    def leave(self, group: str) -> None: ...

    def transaction(self) -> AbstractAsyncContextManager[AsyncConnection]: ...
