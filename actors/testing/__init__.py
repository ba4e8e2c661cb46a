"""Testing: the tools of tests of actors.

clock       `VirtualRuntime`, a clock that stands still until the test moves it
events      `Recorder`, which keeps the events of a node
faults      stores that fail on demand
real_waits  the waits that only the real world can end
probe       `Collector`, an actor that keeps what it is told; `Probe` reads it
"""
