"""Stack: the place where a handler is waiting.

A suspended coroutine knows what it awaits, so the chain from the handler down can be read without disturbing it
(CPython: `cr_await`, `gi_yieldfrom`, `ag_await`). It goes on into a task that is awaited as such, and ends at any other
future, because it isn't known where that will be set.
"""

from __future__ import annotations

import asyncio
import gc
import linecache
from types import FrameType
from typing import Any

import msgspec

__all__ = ("FRAMES_MAX", "StackFrame", "stack_of")

FRAMES_MAX = 100
"""Frames of a chain. Of a longer one the outermost and the innermost half are kept."""
STEPS_MAX = 10_000

_LINKS = (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"), ("ag_frame", "ag_await"))
_OURS = f"{__name__.split('.extensions.')[0]}.execution."
"""Modules whose frames stand above the user's code in every chain."""


class StackFrame(msgspec.Struct, frozen=True):
    file: str
    line: int
    function: str
    source: str
    """The text of the line; "" if the file can't be read."""

    def __str__(self) -> str:
        text = f'File "{self.file}", line {self.line}, in {self.function}'
        return f"{text}\n  {self.source}" if self.source else text


def stack_of(awaitable: Any) -> list[StackFrame]:
    """The frames of a coroutine that has suspended, innermost last. Empty if it has ended, or is running."""
    frames: list[FrameType] = []
    for _ in range(STEPS_MAX):
        if awaitable is None:
            break
        frame, awaitable = _step(awaitable)
        if frame is not None and (frames or not str(frame.f_globals.get("__name__")).startswith(_OURS)):
            frames.append(frame)
    if len(frames) > FRAMES_MAX:
        frames[FRAMES_MAX // 2 : -FRAMES_MAX // 2] = []
    return [_shown(frame) for frame in frames]


def _step(awaitable: Any) -> tuple[FrameType | None, Any]:
    """The frame of a coroutine, generator or asynchronous generator, and the object that it waits for."""
    for frame, waits_for in _LINKS:
        if hasattr(awaitable, frame):
            return getattr(awaitable, frame), getattr(awaitable, waits_for)
    return None, _behind(awaitable)


def _behind(awaitable: Any) -> Any:
    """The object that the iterator of an awaitable stands for: a task, say, or one step of an asynchronous generator.

    Python can't be asked for it, but the garbage collector knows.
    """
    for found in gc.get_referents(awaitable):
        if isinstance(found, asyncio.Task):
            return None if found.done() else found.get_coro()
        if any(hasattr(found, frame) for frame, _ in _LINKS):
            return found
    return None


def _shown(frame: FrameType) -> StackFrame:
    code = frame.f_code
    source = linecache.getline(code.co_filename, frame.f_lineno, frame.f_globals).strip()
    return StackFrame(code.co_filename, frame.f_lineno, code.co_qualname, source)
