"""Log: where a node's log goes, and in which form. Its texts are in `supervision/node/log.py`."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable
from typing import Any

from loguru import logger

from .orders import Verbosity

__all__ = ("clock_time", "set_up_log")

_FORMAT = "{time:HH:mm:ss.SSS} {level: <7} {message}"
_LEVELS: dict[Verbosity, str] = {"quiet": "ERROR", "normal": "INFO", "verbose": "DEBUG"}


def set_up_log(verbosity: Verbosity, write: Callable[[str], object] | None = None) -> None:
    """Send everything to stderr, or to `write`, and nothing where loguru would send it by itself."""
    sink: Any = sys.stderr if write is None else write
    logger.remove()
    logger.add(
        sink,
        level=_LEVELS[verbosity],
        format=_FORMAT,
        colorize=sys.stderr.isatty() if write is None else False,
        backtrace=False,
        diagnose=False,  # values of variables don't belong into a log
    )


def clock_time(at: float) -> str:
    """A time in epoch seconds as the log writes it."""
    return dt.datetime.fromtimestamp(at).strftime("%H:%M:%S.%f")[:-3]
