"""Real waits: what a task waits for that only the real world can end, and no clock that a test moves.

A suspended coroutine knows what it awaits (extensions/introspection/stack.py), so the chain from a task of the node
down to the innermost frame can be read, through handlers, gathered tasks and task groups. The innermost frames tell:

| they belong to | the wait is |
| --- | --- |
| `asyncio.sleep`, streams, sockets, processes, `to_thread` | real |
| locks, queues, events, `gather`, time limits of asyncio | that of what stands above them, or of the tasks in them |
| greenroom | no real one: an ask, a commit, a sleep of the runtime |
| anyio | real if it is a socket, a process or a thread |
| another library that is installed: a database driver, an HTTP client | real |
| the user's own code | real if the future comes from an executor, or a timer of the loop sets it |

So an `asyncio.Event` that nobody sets isn't real, and a handler that waits for it runs into its time limit.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import sys
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any

__all__ = ("real_wait",)

STEPS_MAX = 10_000

_LINKS = (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"), ("ag_frame", "ag_await"))
_ROOT = __name__.split(".actors.")[0]
_OURS = f"{_ROOT}."
_DRIVEN = f"{_ROOT}.actors.execution.user_code.stepping"
"""The module whose generators drive a coroutine of their own, `coro`, by hand."""
_OUTSIDE = frozenset(
    f"asyncio.{name}"
    for name in (
        "base_events", "base_subprocess", "proactor_events", "selector_events", "sslproto", "streams", "subprocess",
        "threads", "unix_events", "windows_events",
    )
)  # fmt: skip
_OUTSIDE_IN_ANYIO = ("Socket", "UNIXSocket", "UDPSocket", "ConnectedU", "Stream", "Process", "TCP", "run_sync", "wait_")
_INSTALLED = ("/site-packages/", "/dist-packages/", "\\site-packages\\")
_FROM_EXECUTOR = "_chain_future."
"""The callbacks of a future that stands for one of `concurrent.futures`."""
_LIMITS = ("_release_waiter", "_on_timeout")
"""The callbacks of time limits: nobody waits for them."""


def real_wait(tasks: Iterable[asyncio.Task[Any]]) -> str:
    """A place where one of the tasks waits for something real, for people to read; "" if none does."""
    seen: set[Any] = set()
    waiting = [(task, "") for task in tasks]
    while waiting:
        task, home = waiting.pop()
        if task in seen or task.done():
            continue
        seen.add(task)
        frames, future = _chain(task.get_coro())
        home = home or _home(frames)
        if found := _judge(frames, home):
            return f"{task.get_name()}: {found}"
        for one in _awaited(frames, future):
            if isinstance(one, asyncio.Task):
                waiting.append((one, home))
            elif _is_set_from_outside(one):
                return f"{task.get_name()}: {_shown(frames, frames[-1])}"
    return ""


def _home(frames: list[FrameType]) -> str:
    """The package of the outermost code that isn't greenroom's: the user's own, even if it is installed."""
    for frame in frames:
        module = str(frame.f_globals.get("__name__"))
        if not module.startswith(_OURS) and not _is_stdlib(module):
            return module.partition(".")[0]
    return ""


def _chain(awaitable: Any) -> tuple[list[FrameType], Any]:
    """The frames of a suspended coroutine, innermost last, and the future that it waits for."""
    frames: list[FrameType] = []
    for _ in range(STEPS_MAX):
        if awaitable is None or asyncio.isfuture(awaitable):
            return frames, awaitable
        for link, waits_for in _LINKS:
            frame = getattr(awaitable, link, None)
            if frame is not None:
                frames.append(frame)
                awaitable = getattr(awaitable, waits_for)
                if awaitable is None and frame.f_globals.get("__name__") == _DRIVEN:
                    awaitable = frame.f_locals.get("coro")
                break
        else:
            awaitable = _behind(awaitable)
    return frames, None


def _behind(awaitable: Any) -> Any:
    """The future, or the step of a generator, that an iterator stands for. The garbage collector knows."""
    for found in gc.get_referents(awaitable):
        if asyncio.isfuture(found) or any(getattr(found, link, None) is not None for link, _ in _LINKS):
            return found
    return None


def _judge(frames: list[FrameType], home: str) -> str:
    """The innermost frame if it tells of a real wait; else ""."""
    for frame in reversed(frames):
        module, name = str(frame.f_globals.get("__name__")), frame.f_code.co_qualname
        if module.startswith(_OURS):
            return ""
        if module.startswith("asyncio."):
            if module in _OUTSIDE or (module == "asyncio.tasks" and name == "sleep"):
                return _shown(frames, frame)
        elif module.startswith("anyio."):
            if name.startswith(_OUTSIDE_IN_ANYIO) or ".run_sync" in name:
                return _shown(frames, frame)
        elif not _is_stdlib(module):
            if _is_installed(frame) and module.partition(".")[0] != home:
                return _shown(frames, frame)
            return ""
    return ""


def _is_set_from_outside(future: asyncio.Future[Any]) -> bool:
    """Whether a future comes from an executor, or a timer of the loop sets it."""
    for callback, _ in getattr(future, "_callbacks", None) or ():
        if getattr(callback, "__qualname__", "").startswith(_FROM_EXECUTOR):
            return True
    for timer in getattr(future.get_loop(), "_scheduled", ()):
        callback = timer._callback
        if timer.cancelled() or getattr(callback, "__name__", "") in _LIMITS:
            continue
        if any(part is future for part in (getattr(callback, "__self__", None), *(timer._args or ()))):
            return True
    return False


def _awaited(frames: list[FrameType], future: Any) -> Iterator[asyncio.Future[Any]]:
    """The futures and tasks that a task waits for: the one it awaits, gathered ones, those of a group, those of `wait`.

    The futures that greenroom's own code awaits aren't among them.
    """
    if frames and not str(frames[-1].f_globals.get("__name__")).startswith(_OURS) and future is not None:
        yield future
    yield from getattr(future, "_children", ())  # asyncio.gather
    for callback, _ in getattr(future, "_callbacks", None) or ():
        if getattr(callback, "__qualname__", "").startswith("shield."):
            yield from filter(asyncio.isfuture, (cell.cell_contents for cell in callback.__closure__ or ()))
    for frame in frames:
        if not str(frame.f_globals.get("__name__")).startswith(("asyncio.", "anyio.")):
            continue
        for value in frame.f_locals.values():
            found = getattr(value, "_tasks", value)  # a TaskGroup
            yield from filter(
                asyncio.isfuture, found if isinstance(found, set | list | tuple | frozenset) else (found,)
            )


def _is_stdlib(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names


def _shown(frames: list[FrameType], innermost: FrameType) -> str:
    """The place in the user's code, as far as there is one, and what is awaited there."""
    user = [frame for frame in frames if not _is_library(frame)]
    frame = user[-1] if user else innermost
    name = innermost.f_code.co_qualname
    module = str(innermost.f_globals.get("__name__"))
    return f'{module}.{name} in "{inspect.getfile(frame)}", line {frame.f_lineno}'


def _is_library(frame: FrameType) -> bool:
    module = str(frame.f_globals.get("__name__"))
    return module.startswith(_OURS) or _is_stdlib(module) or _is_installed(frame)


def _is_installed(frame: FrameType) -> bool:
    return any(place in frame.f_code.co_filename for place in _INSTALLED)
