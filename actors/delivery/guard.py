"""Guard: the checks of everything that comes in, whichever door it takes.

`ref`, `Client`, `from_thread`, timers and the command line call these functions, so that all of them refuse the same
values with the same errors. The values of a message's fields are checked by its round trip (messages/codec.py).
"""

from __future__ import annotations

import datetime as dt
from typing import Any, NoReturn

from ..kernel.errors import ActorNotFound
from ..mailbox.mailbox import SYSTEM
from ..messages.errors import NotAMessage
from ..messages.message import Message, Request

__all__ = (
    "AHEAD_S_MAX",
    "KEY_LENGTH_MAX",
    "NAME_LENGTH_MAX",
    "NO_PRIORITY",
    "PRIORITY_MAX",
    "check_message",
    "check_request",
    "check_seconds",
    "checked_address",
    "checked_delay",
    "checked_key",
    "checked_priority",
    "checked_timeout",
)

AHEAD_S_MAX = 100 * 366 * 86_400.0
"""Seconds of a hundred years. A longer time is a mistake in the unit."""
KEY_LENGTH_MAX = 500
NAME_LENGTH_MAX = 200
"""The characters of one name in an address."""
PRIORITY_MAX = SYSTEM - 1
NO_PRIORITY = 0
"""The usual priority. Doors compare with `is`, so that `False` and 0.0 are looked at like any other value."""


def check_message(message: object) -> None:
    """
    Raises:
        NotAMessage
    """
    if not isinstance(message, Message):
        raise NotAMessage(message)


def check_request(request: object) -> None:
    """
    Raises:
        NotAMessage: it is none that has a reply.
    """
    if not isinstance(request, Request):
        raise NotAMessage(request, is_message=isinstance(request, Message))


def checked_address(address: object) -> str:
    """
    Raises:
        ActorNotFound: that is no absolute path, so no actor can have it.
    """
    if not isinstance(address, str) or not address.startswith("/"):
        _no_address(address)
    for name in address[1:].split("/"):
        if not 0 < len(name) <= NAME_LENGTH_MAX or not name.isprintable():
            _no_address(address)
    return str.__str__(address)


def _no_address(address: object) -> NoReturn:
    why, remedy = 'an address is an absolute path, such as "/bank/ledger"', ""
    if isinstance(address, str) and address.startswith("/") and not address.endswith("/"):
        why = f"a name in an address has 1 to {NAME_LENGTH_MAX} printable characters"
        if "//" in address:
            remedy = "Write one slash between two names"
        else:
            remedy = "Use a shorter name, without control characters"
    raise ActorNotFound(f"{address!s:.500}", why, remedy)


def checked_key(key: object) -> str:
    """
    Raises:
        TypeError, ValueError: it is no idempotency key.
    """
    if not isinstance(key, str):
        raise TypeError(f"key={key!r:.100}: an idempotency key is a str")
    if not 0 < len(key) <= KEY_LENGTH_MAX or not key.isprintable():
        raise ValueError(f"key={key!r:.100}: an idempotency key is printable, and 1 to {KEY_LENGTH_MAX} characters")
    return str.__str__(key)  # a subclass's instance has no place in a row


def checked_priority(priority: object) -> int:
    """
    Raises:
        TypeError, ValueError: it is no priority.
    """
    if not isinstance(priority, int) or isinstance(priority, bool):
        raise TypeError(f"priority={priority!r:.100}: a priority is an int")
    if not -PRIORITY_MAX <= priority <= PRIORITY_MAX:
        raise ValueError(f"priority={_number(priority)}: a priority lies within ±{PRIORITY_MAX}")
    return int(priority)


def checked_delay(delay_s: object) -> float:
    """
    Raises:
        TypeError, ValueError: it is no delay.
    """
    return check_seconds("delay_s", delay_s, at_least=0.0)


def checked_timeout(timeout_s: object) -> float:
    """
    Raises:
        TypeError, ValueError: it is no time limit: None and infinity are none, because an ask always has one.
    """
    return check_seconds("timeout_s", timeout_s, above=0.0)


def check_seconds(name: str, value: object, *, at_least: float | None = None, above: float | None = None) -> float:
    """
    Args:
        at_least, above: the lower bound in seconds, one of the two.

    Raises:
        TypeError: it is no number. ValueError: it isn't finite, is below its bound, or more than a hundred years.
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        hint = ". Write .total_seconds() after it" if isinstance(value, dt.timedelta) else ""
        raise TypeError(f"{name}={value!r:.100}: it is a number of seconds{hint}")
    low = value >= at_least if at_least is not None else value > (above or 0.0)
    if not (low and value <= AHEAD_S_MAX):
        bound = f"at least {at_least:g}" if at_least is not None else f"above {above or 0.0:g}"
        raise ValueError(
            f"{name}={_number(value)}: it is {bound} and at most {AHEAD_S_MAX:,.0f} seconds, a hundred years"
        )
    return float(value)


def _number(value: Any) -> str:
    """A number as text. Python refuses to write integers of thousands of digits."""
    if isinstance(value, int) and value.bit_length() > 300:
        return f"an integer of {value.bit_length()} bits"
    return repr(value)
