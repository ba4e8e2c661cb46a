"""Reconfiguration: which changes a running supervisor can take (`Reconfigure`). OTP: supervisor.erl, `code_change`."""

from __future__ import annotations

from typing import cast

from ...actors.kernel.cell import Cell
from ..errors import ConfigError, Problem
from ..spec.resolution import resolve_spec
from ..spec.spec import ChildSpec, SupervisorSpec
from .child_table import ChildTable

__all__ = ("check_change",)

KINDS = ("dynamic", "partition")
"""Strategies that a supervisor can neither take nor give up while it runs."""


def check_change(cell: Cell, spec: SupervisorSpec, children: ChildTable) -> None:
    """Check that the running supervisor `cell` can have `spec` from now on. The spec by itself has been checked before.

    Raises:
        ConfigError: with everything that can't change while it runs.
    """
    old = cast(SupervisorSpec, cell.spec)
    problems = [
        Problem(
            key=name, found=getattr(spec, name), expected=f"{getattr(old, name)!r}: that can't change while it runs"
        )
        for name in ("id", "partitions")
        if getattr(spec, name) != getattr(old, name)
    ]
    if spec.strategy != old.strategy and (spec.strategy in KINDS or old.strategy in KINDS):
        expected = f"{old.strategy}: whether it is dynamic or partitioned can't change while it runs"
        problems.append(Problem(key="strategy", found=spec.strategy, expected=expected))
    for place, child in enumerate(spec.children):
        running = children.find(cell, f"{cell.address}/{child.id}")
        if running is None:
            continue
        at = f"children[{place}]"
        if isinstance(child, ChildSpec) is not isinstance(running.spec, ChildSpec):
            problems.append(Problem(key=at, why="an actor can't become a supervisor, nor the other way round"))
        elif isinstance(child, SupervisorSpec):
            problems += _check_below(at, child, running, cast(SupervisorSpec, children.spec_of(running)))
        elif resolve_spec(child).options.durable is not running.durable:
            problems.append(Problem(key=f"{at}.durable", why="that can't change while it runs"))
    if problems:
        raise ConfigError(cell.address, problems)


def _check_below(key: str, spec: SupervisorSpec, running: Cell, old: SupervisorSpec) -> list[Problem]:
    """A supervisor below knows its own children, so a request to the supervisor above can't change them."""
    names = ["children", "template", "partitions"]
    if old.strategy in KINDS or spec.strategy in KINDS:
        names.append("strategy")
    return [
        Problem(key=f"{key}.{name}", why=f"it is changed by a Reconfigure of {running.address} itself")
        for name in names
        if getattr(spec, name) != getattr(old, name)
    ]
