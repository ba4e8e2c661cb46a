"""Scopes: the cancel scopes of anyio that a turn has left open in a task of the runtime's.

anyio keeps the innermost open scope of each task, and asks it in each of its own waits. A scope that one turn leaves
open (a generator in a `with move_on_after(...)` that is never closed) would cancel handlers of other actors, because a
runner runs them in the same task. So it is left for the turn, in the task in which it was entered.

anyio has no public name for the scopes of a task. If its inner one isn't there, nothing is done; a test would say so.
"""

from __future__ import annotations

from asyncio import Task, current_task
from asyncio.events import _get_running_loop
from sys import modules
from typing import Any

__all__ = ("leave_scopes",)

_BACKEND = "anyio._backends._asyncio"
"""anyio imports it when it is first used in asyncio."""


def leave_scopes(task: Task[Any] | None = None) -> None:
    """Leave the scopes that a turn has entered in this task, and not left.

    Args:
        task: the task of the turn, for a coroutine that may be garbage by now. Then another task runs here, or none.
    """
    backend = modules.get(_BACKEND)
    if backend is not None:
        _leave_all(getattr(backend, "_task_states", {}), task)


def _leave_all(states: Any, task: Task[Any] | None) -> None:
    if _get_running_loop() is None:
        return
    here = current_task()
    state = states.get(here) if task is None or task is here else None
    while state is not None and (scope := state.cancel_scope) is not None:
        try:
            scope.__exit__(None, None, None)
        except RuntimeError:  # it isn't one that can be left
            return
