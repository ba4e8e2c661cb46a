"""Timers: messages that an actor sends to itself later, once or again and again (docs/semantics/timers.md).

schedule, timer     when a timer is due; one timer
queue, registry     timers by due time; the node's part
changes             a turn's part
errors
"""
