"""Strategies: which children a restart concerns (OTP: supervisor(3), "Supervision Principles").

    one_for_one     the one that exited
    rest_for_one    it, and those started after it
    one_for_all     all of them
    dynamic         the one that exited

They are stopped in reverse and started in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from ..spec.spec import Strategy

__all__ = ("concerned",)

C = TypeVar("C")


def concerned(strategy: Strategy, children: Sequence[C], exited: C) -> list[C]:
    """The children to restart after `exited` did, in start order."""
    if strategy == "one_for_all":
        return list(children)
    if strategy == "rest_for_one":
        return list(children[children.index(exited) :])
    return [exited]
