"""Administration: the running node makes the change of a command, or the command itself does if no node runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ....persistence.store.contract import Store
from .desk import Desk
from .target import Target, open_desk

__all__ = ("administer_or",)


async def administer_or(
    target: Target | None,
    online: Callable[[Desk], Awaitable[Any]],
    without_node: Callable[[Store], Awaitable[Any]],
) -> Any:
    """Have a running node make a change; or make it on the store if no node runs."""
    async with open_desk(target) as desk:
        if desk.node() is not None:
            return await online(desk)
        store = desk.store
    return await without_node(store)
