"""Exit codes: how a command ended, for scripts; and by which exit status a node's process tells its parent."""

from __future__ import annotations

from enum import IntEnum

from ...persistence.errors import GreenroomError, StoreError, StoreUrlInvalid
from ..errors import ConfigError, TreeGaveUp

__all__ = ("CODES_HELP", "VERDICT_BASE", "ExitCode", "code_of", "verdict_of")


class ExitCode(IntEnum):
    DONE = 0
    FAILED = 1
    USAGE = 2
    STORE = 3
    GAVE_UP = 70
    """EX_SOFTWARE (BSD: sysexits.h)."""
    INTERRUPTED = 130
    """128 + SIGINT, as shells have it."""


CODES_HELP = (
    "Exit codes: 0 done, 1 failed, 2 usage or config, 3 store (locked, damaged, unavailable), 70 the tree gave up."
)

_VERDICTS = (ExitCode.DONE, ExitCode.FAILED, ExitCode.USAGE, ExitCode.STORE, ExitCode.GAVE_UP)

VERDICT_BASE = 80
"""The first exit status of a node that ended in order. They begin here because `os._exit(0)` in a user's handler, or a
1 from the interpreter, doesn't mean that the node shall stay down."""


def code_of(error: GreenroomError) -> ExitCode:
    if isinstance(error, ConfigError | StoreUrlInvalid):
        return ExitCode.USAGE
    if isinstance(error, StoreError):
        return ExitCode.STORE
    if isinstance(error, TreeGaveUp):
        return ExitCode.GAVE_UP
    return ExitCode.FAILED


def status_of(code: ExitCode) -> int:
    """The exit status by which a node tells its parent `code`."""
    return VERDICT_BASE + _VERDICTS.index(code)


def verdict_of(status: int) -> ExitCode | None:
    """The exit code that a node's exit status stands for; None if the node didn't end in order."""
    place = status - VERDICT_BASE
    return _VERDICTS[place] if 0 <= place < len(_VERDICTS) else None
