"""Testing: the tools of actors' tests. A clock that stands still, stores that fail on demand,
probes, recorded events."""
