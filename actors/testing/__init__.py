"""What tests of actors need: a clock that stands still, stores that fail on demand, probes, recorded events.

clock = VirtualRuntime()
store = FaultyMemoryStore()
async with start(tree, store=store, runtime=clock) as system:
    store.plan.fail(StoreFull("no space"))
    ...
    await clock.advance(5.0)
"""

from __future__ import annotations

from .clock import VirtualRuntime
from .events import Recorder
from .faults import Faults, FaultyMemoryStore, FaultySqliteStore
from .probe import Collector, Probe

__all__ = (
    "Collector",
    "Faults",
    "FaultyMemoryStore",
    "FaultySqliteStore",
    "Probe",
    "Recorder",
    "VirtualRuntime",
)
