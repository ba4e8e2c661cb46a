"""What tests of actors need: a clock that stands still, stores that fail on demand, probes, recorded events."""
