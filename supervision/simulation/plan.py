"""Plan: what a simulation runs for each of its seeds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ...actors.kernel.settings import Settings
from ..spec.spec import SupervisorSpec
from .hazards import Hazards
from .run import Run

__all__ = ("Plan", "Workload")

Workload = Callable[[Run], Awaitable[object]]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The same for every seed."""

    tree: SupervisorSpec
    workload: Workload
    invariant: Workload | None
    """Raises if something is wrong."""
    hazards: Hazards
    """The most that may happen."""
    settings: Settings
    settle_s: float
    """Virtual seconds after the workload in which delayed messages may still come."""
    limit_s: float
    """Virtual seconds that one life may last."""
