"""Log: where a node's log goes, and in which form. Its texts are in `supervision/node/log.py`."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable
from typing import Any

from loguru import logger

from ...printable import printable
from .orders import Verbosity

__all__ = ("clock_time", "set_up_log")

_FORMAT = "{time:HH:mm:ss.SSS} {level: <7} {message}"
_LEVELS: dict[Verbosity, str] = {"quiet": "ERROR", "normal": "INFO", "verbose": "DEBUG"}


def set_up_log(verbosity: Verbosity, write: Callable[[str], object] | None = None) -> None:
    """Send everything to stderr, or to `write`, and nothing where loguru would send it by itself."""
    sink: Any = sys.stderr if write is None else write
    logger.remove()
    logger.configure(patcher=_plain)
    logger.add(
        sink,
        level=_LEVELS[verbosity],
        format=_FORMAT,
        colorize=sys.stderr.isatty() if write is None else False,
        backtrace=False,
        diagnose=False,  # values of variables don't belong into a log
    )


def _plain(record: Any) -> None:
    """Texts of greenroom's own lines come from messages and exceptions, too. A line of the user's stays as it is."""
    if (record["name"] or "").startswith("greenroom."):
        record["message"] = printable(record["message"])


def clock_time(at: float) -> str:
    """A time in epoch seconds as the log writes it."""
    return dt.datetime.fromtimestamp(at).strftime("%H:%M:%S.%f")[:-3]
