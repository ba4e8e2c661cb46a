"""Timers: messages that an actor sends to itself later, once or again and again (docs/semantics/timers.md).

schedule, timer     when a timer is due; one timer
queue, registry     timers by due time; the node's part
changes, tick       a turn's part; the part of a tick, which answers for its data
clock               notices that the wall clock was set
errors
"""
