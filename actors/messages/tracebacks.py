"""Tracebacks as text, quickly, because formatting one anew takes longer than the restart that waits for it.

The standard library's text for a frame depends on the code and on the instruction alone, so it is kept. Frames of the
runtime that stand before the user's own are left out.
"""

from __future__ import annotations

import os
import traceback
from types import CodeType, TracebackType

from .types import MAIN

__all__ = ("text_of", "traceback_of", "type_name")

FRAMES_KEPT = 4096
"""The number of formatted frames that are kept; at one more the collection begins anew."""
FRAMES_MAX = 64
"""Frames in a traceback. Longer ones are recursions, which the standard library knows how to shorten."""
PARTS_MAX = 5
"""Parts of a group of exceptions that its text names. The traceback has them all."""

_RUNTIME = os.path.dirname(os.path.dirname(__file__)) + os.sep
_PACKAGE = "greenroom."
_HEAD = "Traceback (most recent call last):\n"

_ELABORATE = (BaseExceptionGroup, SyntaxError, NameError, AttributeError, ImportError)
"""Exceptions for which the standard library has more to say."""

_frames: dict[tuple[CodeType, int], str] = {}


def type_name(cls: type) -> str:
    if cls.__module__ == "builtins":
        return cls.__qualname__
    if cls.__module__.startswith(_PACKAGE):  # a class of ours is called the same, in whichever file it stands
        return f"{_PACKAGE}{cls.__qualname__}"
    module = MAIN[0] if cls.__module__ in MAIN else cls.__module__
    return f"{module}.{cls.__qualname__}"


def text_of(error: BaseException) -> str:
    """The exception's message. That of a group names its parts, because by itself it only counts them."""
    try:
        if isinstance(error, BaseExceptionGroup):
            return f"{error}: {'; '.join(map(_part, error.exceptions[:PARTS_MAX]))}"
        return str(error)
    except KeyboardInterrupt:
        raise
    except BaseException as broken:
        return f"<its __str__ raised {type(broken).__name__}>"


def _part(error: BaseException) -> str:
    text = text_of(error)
    return f"{type_name(type(error))}: {text}" if text else type_name(type(error))


def traceback_of(error: BaseException) -> str:
    """The text of `traceback.format_exception`, without the runtime's own first frames. Never raises."""
    try:
        start = _user_frames(error.__traceback__)
        if _is_plain(error):
            frames = _formatted(start)
            if frames is not None:
                text = text_of(error)
                name = type_name(type(error)).removeprefix("__main__.")
                return f"{_HEAD}{frames}{name}: {text}\n" if text else f"{_HEAD}{frames}{name}\n"
        return "".join(traceback.format_exception(type(error), error, start))
    except KeyboardInterrupt:
        raise
    except BaseException as broken:  # a hostile __notes__, __cause__ or source file must not hide the exit
        return f"<its traceback can't be formatted: {type(broken).__name__}>"


def _user_frames(start: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame on that isn't the runtime's; all of it, if all frames are."""
    found = start
    while found is not None and found.tb_frame.f_code.co_filename.startswith(_RUNTIME):
        found = found.tb_next
    return found or start


def _is_plain(error: BaseException) -> bool:
    """Whether the exception is nothing but its frames and its text."""
    return (
        error.__cause__ is None
        and (error.__context__ is None or error.__suppress_context__)
        and not isinstance(error, _ELABORATE)
        and getattr(error, "__notes__", None) is None
    )


def _formatted(start: TracebackType | None) -> str | None:
    found: list[str] = []
    entry = start
    while entry is not None:
        if len(found) == FRAMES_MAX:
            return None
        key = entry.tb_frame.f_code, entry.tb_lasti
        text = _frames.get(key)
        if text is None:
            if len(_frames) >= FRAMES_KEPT:
                _frames.clear()
            text = _frames[key] = "".join(traceback.format_list(_one(entry)))
        found.append(text)
        entry = entry.tb_next
    return "".join(found)


def _one(entry: TracebackType) -> traceback.StackSummary:
    return traceback.extract_tb(entry, limit=1)
