"""Plan: the tree, the workload and the limits of a simulation, for all its seeds."""

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
    """The settings of a simulation. They are the same for every seed."""

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
