"""Testing: the tools of tests of actors.

clock       `VirtualRuntime`, a clock that stands still until the test moves it
events      `Recorder`, which keeps the events of a node
faults      stores that fail on demand
probe       `Collector`, an actor that keeps what it is told; `Probe` reads it
"""
