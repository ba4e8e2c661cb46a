"""The test kit: a clock that stands still, stores that fail on demand, probes, recorded events.

clock = VirtualRuntime()
store = FaultyMemoryStore()
async with start(tree, store=store, runtime=clock) as system:
    store.plan.fail(StoreFull("no space"))
    ...
    await clock.advance(5.0)

And a whole node under simulation, with everything that can happen to it (docs/simulation.md):

simulate(tree, workload, invariant, seeds=range(200))
"""

from __future__ import annotations

from .actors.testing.clock import VirtualRuntime
from .actors.testing.events import Recorder
from .actors.testing.faults import Faults, FaultyMemoryStore, FaultySqliteStore
from .actors.testing.probe import Collector, Probe
from .supervision.simulation.hazards import Hazards
from .supervision.simulation.run import Outcome, Run
from .supervision.simulation.simulate import Simulation, SimulationFailed, simulate

__all__ = (
    "Collector",
    "Faults",
    "FaultyMemoryStore",
    "FaultySqliteStore",
    "Hazards",
    "Outcome",
    "Probe",
    "Recorder",
    "Run",
    "Simulation",
    "SimulationFailed",
    "VirtualRuntime",
    "simulate",
)
