"""Listing: the cells of a running node, as the command line lists and shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ...actors.extensions.introspection.observer import type_of
from ...actors.extensions.introspection.requests import state_of
from ...actors.extensions.introspection.stack import stack_of
from ...actors.extensions.introspection.suspension import SUSPENDED
from ...actors.extensions.stash import Stashes
from ...actors.extensions.timers.registry import Timers
from ...actors.kernel.cell import Cell
from ..spec.spec import SupervisorSpec
from ..supervisor.supervisor import Supervisor
from .child_commands import shown_status

if TYPE_CHECKING:
    from ...actors.extensions.timers.timer import Timer
    from ...actors.kernel.kernel import Kernel
    from ...actors.kernel.turn import Turn
    from ..supervisor.tree import Tree

__all__ = ("Listing",)

TIMERS_SHOWN_MAX = 100
"""How many timers without rows `actors show` has of an actor."""
CHILDREN_MAX = 1_000
"""How many of its children a supervisor shows in its answer to `GetState`."""


class Listing:
    """Describes cells as plain data."""

    def __init__(self, kernel: Kernel, tree: Tree) -> None:
        self._kernel = kernel
        self._tree = tree

    async def live(self, address: str, limits: dict[str, Any] | None) -> list[dict[str, Any]]:
        """The cells at or below an address as the node knows them, in the order of their addresses.

        `limits` may have `after` (an address) and `limit` for one page; `per_parent` for at most so many children
        of each supervisor; `stack` to add the stacks of handlers that wait, the number of stashed messages, and
        timers without rows.
        """
        limits = limits or {}
        below = address.rstrip("/") + "/"
        after = limits.get("after", "")
        names = sorted(
            name for name in self._kernel.cells if (name == address or name.startswith(below)) and name > after
        )[: limits.get("limit")]
        if "per_parent" in limits:
            return self._pruned(names, limits["per_parent"])
        cells = [self._kernel.cells[name] for name in names]
        if limits.get("stack"):
            return [{**self._describe(cell), **self._inside(cell)} for cell in cells]
        return [self._describe(cell) for cell in cells]

    def _pruned(self, names: list[str], per_parent: int) -> list[dict[str, Any]]:
        """All static children, and dynamic ones up to a number, with how many more there are."""
        cells = self._kernel.cells
        found: dict[str, dict[str, Any]] = {}
        children: dict[str, int] = {}
        for name in names:
            cell = cells[name]
            above = name.rpartition("/")[0]
            if cell.on_demand:
                children[above] = children.get(above, 0) + 1
                if children[above] > per_parent:
                    if above in found:
                        found[above]["hidden"] = children[above] - per_parent
                    continue
            found[name] = self._describe(cell)
        return list(found.values())

    def _describe(self, cell: Cell) -> dict[str, Any]:
        turn = cell.turn
        caution = self._kernel.caution
        return {
            "address": cell.address,
            "kind": "supervisor" if isinstance(cell.spec, SupervisorSpec) else "actor",
            "status": shown_status(self._tree, cell),
            "type": cell.definition.stored_type,
            "incarnation": 0 if cell.incarnation is None else cell.incarnation.number,
            "started": None if cell.incarnation is None else cell.incarnation.started,
            "mailbox": cell.mailbox.count,
            "handling": None if turn is None else _handled(turn),
            "since": None if turn is None else turn.since or None,
            **({"suspects": caution.progress()} if caution is not None and cell is self._kernel.root else {}),
        }

    def _inside(self, cell: Cell) -> dict[str, Any]:
        """The facts that only the node knows, and that a listing has no room for."""
        timers = sorted(self._kernel.part(Timers).of(cell.address).values(), key=lambda timer: timer.due)
        unstored = [timer for timer in timers if not timer.stored][:TIMERS_SHOWN_MAX]
        found: dict[str, Any] = {"stack": _stack(cell), "timers": [_timer(timer) for timer in unstored]}
        stashed = self._kernel.part(Stashes).of(cell.address)
        if stashed:
            found["stashed"] = len(stashed)
        return found


def _handled(turn: Turn) -> str:
    return type_of(turn) if turn.message is None else type(turn.message).__name__


def _status(cell: Cell) -> str:
    return SUSPENDED if cell.suspended else cell.status


def _stack(cell: Cell) -> list[dict[str, Any]]:
    """The stack of its handler if one waits, else nothing."""
    turn = cell.turn
    return [] if turn is None else [msgspec.structs.asdict(frame) for frame in stack_of(turn.coroutine)]


def _timer(timer: Timer) -> dict[str, Any]:
    body = msgspec.json.decode(timer.body)
    return {"name": timer.name, "due": timer.due, "rule": str(timer.schedule), "type": timer.tag, "body": body}


@state_of.register
def _children(supervisor: Supervisor) -> Any:
    """The state that a supervisor shows: its children, in start order."""
    children = supervisor.children.all()
    shown = [{"id": child.address.rpartition("/")[2], "status": _status(child)} for child in children[:CHILDREN_MAX]]
    return {"children": shown, "hidden": len(children) - len(shown)}
