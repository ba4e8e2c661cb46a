"""Faults that can be planted into our supervisors, to see that the comparison with OTP finds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from greenroom.actors.execution import shutdown
from greenroom.actors.kernel.cell import UP
from greenroom.supervision.supervisor import restarts
from greenroom.supervision.supervisor.child_table import ChildTable
from greenroom.supervision.supervisor.children import Children
from greenroom.supervision.supervisor.intensity import Intensity
from greenroom.supervision.supervisor.restarts import Restarts
from greenroom.supervision.supervisor.supervisor import Supervisor
from greenroom.supervision.supervisor.tree import Tree

__all__ = ("planted",)


def _nothing(*_: Any) -> None:
    """Takes the place of what is left out."""


async def _nothing_async(*_: Any, **__: Any) -> None:
    """The same, to be awaited."""


def one_restart_too_many(patch: pytest.MonkeyPatch) -> None:
    exceeded = Intensity.exceeded

    def later(self: Intensity, now: float) -> bool:
        return exceeded(self, now) and len(self.history()) > self.limit + 1

    patch.setattr(Intensity, "exceeded", later)


def restarts_never_grow_old(patch: pytest.MonkeyPatch) -> None:
    exceeded = Intensity.exceeded

    def timeless(self: Intensity, now: float) -> bool:
        return exceeded(self, 0.0)

    patch.setattr(Intensity, "exceeded", timeless)


def rest_is_all(patch: pytest.MonkeyPatch) -> None:
    concerned = restarts.concerned

    def more(strategy: Any, children: Any, exited: Any) -> Any:
        return concerned("one_for_all" if strategy == "rest_for_one" else strategy, children, exited)

    patch.setattr(restarts, "concerned", more)


def nothing_runs_between_tries(patch: pytest.MonkeyPatch) -> None:
    """As it was before there was a comparison."""

    async def start_failed(self: Restarts, child: Any, error: Any, group: Any) -> None:
        self.start_failed(child, error)
        if self._children.spec.strategy == "one_for_all":
            await self._children.stop_in_reverse([sibling for sibling in group if sibling.status is UP])

    patch.setattr(Restarts, "_start_failed", start_failed)


def temporary_ones_stay_away(patch: pytest.MonkeyPatch) -> None:
    """As it was before there was a comparison."""
    patch.setattr(Tree, "bring_back", _nothing)


def orphans_run_on(patch: pytest.MonkeyPatch) -> None:
    """As it was before there was a comparison."""
    patch.setattr(Children, "end_orphans", _nothing_async)


def a_stop_waits_for_no_exit(patch: pytest.MonkeyPatch) -> None:
    """As it was before there was a comparison."""
    patch.setattr(shutdown, "_let_end", _nothing_async)


def significance_is_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Supervisor, "_after_end", _nothing)


def the_last_one_is_first(patch: pytest.MonkeyPatch) -> None:
    of = ChildTable.of

    def backwards(self: Children) -> Any:
        return of(self.tree.children, self.cell)[::-1]

    patch.setattr(Children, "all", backwards)


planted: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    fault.__name__: fault
    for fault in (
        one_restart_too_many,
        restarts_never_grow_old,
        rest_is_all,
        nothing_runs_between_tries,
        temporary_ones_stay_away,
        orphans_run_on,
        a_stop_waits_for_no_exit,
        significance_is_ignored,
        the_last_one_is_first,
    )
}
