"""simulate: a node, its workload and everything that can happen to them, from a seed, again and again.

    def test_no_deposit_is_lost() -> None:
        simulate(tree, workload, invariant, seeds=range(200))

The committer, the cells, the system and the supervisors are those of production; the clock, the scheduler and the
engine under `Store` are simulated. The page is docs/simulation.md.
"""

from __future__ import annotations

import os
from asyncio import CancelledError
from collections.abc import Iterable

from ...actors.kernel.settings import Settings
from ..spec.spec import SupervisorSpec
from .attempt import Attempt
from .hazards import Hazards
from .plan import Plan, Workload
from .run import Outcome

__all__ = ("SEED_VARIABLE", "Simulation", "SimulationFailed", "Workload", "simulate")

SEED_VARIABLE = "GREENROOM_SEED"


class SimulationFailed(AssertionError):
    """A seed that fails. It fails again, in the same way, whenever it is run."""

    def __init__(self, seed: int, why: BaseException, lines: Iterable[str]) -> None:
        self.seed = seed
        self.why = why
        self.lines = tuple(lines)
        """The last events, oldest first."""
        happened = "\n".join(f"  {line}" for line in self.lines)
        super().__init__(
            f"seed {seed} fails: {type(why).__name__}: {why}\n"
            f"To run it alone: {SEED_VARIABLE}={seed} pytest ..., or seeds=[{seed}].\n"
            f"The last events:\n{happened}"
        )


class Simulation:
    """Runs seeds one at a time; `simulate` runs many."""

    def __init__(
        self,
        tree: SupervisorSpec,
        workload: Workload,
        invariant: Workload | None = None,
        *,
        hazards: Hazards | None = None,
        settings: Settings | None = None,
        settle_s: float = 60.0,
        limit_s: float = 3600.0,
    ) -> None:
        self.plan = Plan(
            tree=tree,
            workload=workload,
            invariant=invariant,
            hazards=hazards or Hazards(),
            settings=settings or Settings(inbox_poll_s=1e9),  # no other process writes into the inbox
            settle_s=settle_s,
            limit_s=limit_s,
        )

    def run(self, seed: int) -> Outcome:
        """Run one seed.

        Raises:
            SimulationFailed: the invariant, or the workload, raised; or the node gave up, hung, or never came to rest.
        """
        attempt = Attempt(self.plan, seed)
        try:
            return attempt.run()
        except (Exception, CancelledError) as error:
            again = Attempt(self.plan, seed, lines=[])
            try:
                again.run()
            except (Exception, CancelledError) as same:
                if repr(same) == repr(error):
                    raise SimulationFailed(seed, error, again.lines or ()) from error
            why = "It went another way when it was run again: something in the actors isn't simulated"
            raise SimulationFailed(seed, error, [*(again.lines or ()), why]) from error


def simulate(
    tree: SupervisorSpec,
    workload: Workload,
    invariant: Workload | None = None,
    *,
    seeds: Iterable[int] = range(100),
    hazards: Hazards | None = None,
    settings: Settings | None = None,
    settle_s: float = 60.0,
    limit_s: float = 3600.0,
) -> list[Outcome]:
    """Run a tree under a workload, once a seed, through crashes, faults and delays of the store, and odd schedules.

    Args:
        tree: what the node runs.
        workload: called with the `Run`, in each life, until it has come to its end once. A crash ends it with the
            process, and a broken store ends it, too (`StoreFull`, `StoreUnavailable`). Its notes in `run.notes` are
            still there when it is called again. Keys, or notes, keep it from telling anything twice.
        invariant: called when nothing is left to do, and once more after a last crash, when the node has only what is
            on disk. It raises if something is wrong.
        seeds: whole numbers; `GREENROOM_SEED` in the environment replaces them by that one.
        hazards: the most that may happen; by default everything that must never matter.
        settings: those of the actor system.
        settle_s: virtual seconds after the workload in which delayed messages may still come, while there are any.
        limit_s: virtual seconds that one life may last.

    Raises:
        SimulationFailed: of the first seed that fails.
    """
    simulation = Simulation(
        tree, workload, invariant, hazards=hazards, settings=settings, settle_s=settle_s, limit_s=limit_s
    )
    only = os.environ.get(SEED_VARIABLE)
    return [simulation.run(seed) for seed in (seeds if only is None else [int(only)])]
