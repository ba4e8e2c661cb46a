"""Planted bugs: each undoes one of the rules that the programs hold a node to. The programs have to find it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import pytest
from odd_messages import Told

from greenroom import TaskCancelled
from greenroom.actors import actor as actor_module
from greenroom.actors.definition import handlers
from greenroom.actors.delivery import ask as asking
from greenroom.actors.delivery import ref as refs
from greenroom.actors.execution import hook_turns
from greenroom.actors.execution import start as starting
from greenroom.actors.execution.executor import Executor
from greenroom.actors.execution.user_code.containment import Guarded
from greenroom.actors.execution.user_code.user_task import UserTask
from greenroom.actors.kernel import state as states
from greenroom.actors.kernel.cell import Cell
from greenroom.actors.kernel.turn import Turn
from greenroom.actors.messages import codec
from greenroom.actors.messages.difference import Difference, first_difference
from greenroom.persistence.home import Home
from greenroom.supervision.node import start as node_start
from greenroom.supervision.supervisor import task_supervisor

__all__ = ("BUGS",)

Patch = pytest.MonkeyPatch
BUGS: dict[str, Callable[[Patch], None]] = {}


def bug(what: str) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    def enter(plant: Callable[[Patch], None]) -> Callable[[Patch], None]:
        BUGS[what] = plant
        return plant

    return enter


@bug("a cancellation out of a hook counts as one that the runtime asked for")
def believed(patch: Patch) -> None:
    def as_it_is(cell: Cell, hook: str, error: BaseException) -> BaseException:
        return error

    patch.setattr(hook_turns, "by_itself", as_it_is)
    patch.setattr(starting, "by_itself", as_it_is)


@bug("SystemExit in a child task goes through the loop")
def uncontained(patch: Patch) -> None:
    patch.setattr(node_start, "contained_exits", lambda _: nullcontext())


@bug("a runner's task takes every cancellation for its own")
def unguarded(patch: Patch) -> None:
    patch.setattr(UserTask, "cancel", asyncio.Task.cancel)


@bug("a cancellation of a turn's last step stays with its task")
def unsettled(patch: Patch) -> None:
    async def settle(task: UserTask[Any]) -> None:
        """Nothing is settled."""

    patch.setattr(UserTask, "settle", settle)


@bug("a supervised task's failures are exceptions only")
def exceptions_only(patch: Patch) -> None:
    async def attempt(task: Any, ends: Any) -> Any:
        try:
            return task_supervisor.Outcome(await task.call(), None)
        except Exception as error:
            return task_supervisor.Outcome(None, error)
        except asyncio.CancelledError:
            if ends(task):
                raise
            return task_supervisor.Outcome(None, TaskCancelled(task.address, task.name, "it was cancelled"))

    patch.setattr(task_supervisor, "_attempt", attempt)


@bug("SystemExit out of a hook goes through the loop")
def undriven(patch: Patch) -> None:
    async def driven(turn: Turn, function: Any) -> Any:
        return hook_turns.Outcome(await hook_turns._stepped(turn, function), None)

    patch.setattr(hook_turns, "_driven", driven)


@bug("a handler that other code has cancelled is charged")
def unspared(patch: Patch) -> None:
    patch.setattr(Executor, "_spares", lambda *_: False)


@bug("GeneratorExit is thrown into a runner")
def thrown(patch: Patch) -> None:
    patch.setattr(Guarded, "throw", lambda guarded, *error: guarded._coroutine.throw(*error))


@bug("a message in memory is lost with its uncharged turn")
def lost(patch: Patch) -> None:
    give_back = Cell.give_back

    def without_rows(cell: Cell, envelopes: Iterable[Any], *, alone: bool = False) -> None:
        give_back(cell, [one for one in envelopes if one.id or not isinstance(one.message, Told)], alone=alone)

    patch.setattr(Cell, "give_back", without_rows)


@bug("other code's cancellation goes into a supervisor's turn")
def struck_supervisors(patch: Patch) -> None:
    def strike(task: UserTask[Any]) -> None:
        if task.turn is not None or task._kernel.closing:
            task.foreign = task.marked = True
            asyncio.Task.cancel(task)

    patch.setattr(UserTask, "_cancelled_by_others", strike)


@bug("a failed stop is an exception only")
def stops_only(patch: Patch) -> None:
    failed = hook_turns._stop_failed

    def unreported(cell: Cell, reason: Any, failure: Any) -> Any:
        return failed(cell, reason, failure) if failure.error == "ValueError" else reason

    patch.setattr(hook_turns, "_stop_failed", unreported)


# -- the wrong thread, loop or process ----------------------------------------------------------------------


class Everywhere:
    """The ident of a thread that equals every other."""

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]


@bug("a tell doesn't ask where it comes from")
def tells_from_anywhere(patch: Patch) -> None:
    patch.setattr(refs, "get_ident", Everywhere)


@bug("an ask doesn't ask where it comes from")
def asks_from_anywhere(patch: Patch) -> None:
    patch.setattr(asking, "get_ident", Everywhere)


@bug("what an actor does by self doesn't ask where it comes from")
def self_from_anywhere(patch: Patch) -> None:
    patch.setattr(actor_module, "get_ident", Everywhere)


@bug("idle, receipts, groups and tasks don't ask where the call comes from")
def unchecked(patch: Patch) -> None:
    patch.setattr(Home, "check", lambda *_: None)


# -- what comes back different ------------------------------------------------------------------------------


@bug("a message's round trip is made, and not compared")
def unlike_messages(patch: Patch) -> None:
    patch.setattr(codec, "first_difference", lambda *_: None)


@bug("a reply's copy isn't compared")
def unlike_replies(patch: Patch) -> None:
    patch.setattr(handlers, "changed", lambda *_, **__: None)


@bug("a state is compared by value alone, also its datetimes")
def by_value(patch: Patch) -> None:
    def found(given: Any, back: Any, root: str = "") -> Difference | None:
        return first_difference(given, back, root) or (Difference(root, given, back) if given != back else None)

    patch.setattr(states, "first_difference", found)


@bug("a state's copy isn't compared")
def unlike_states(patch: Patch) -> None:
    patch.setattr(states, "first_difference", lambda *_: None)
