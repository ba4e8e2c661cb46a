"""Actors: what an address is, and how a message becomes a turn. The floors, from the lowest up:

messages                what is told
definition, mailbox     what a class declares; what waits for an actor
kernel                  what an address is at run time, and what a turn commits; it knows no feature
delivery, execution     how a message comes in; the runner of a turn
extensions              features that hook into the kernel: monitors, timers, stash, groups, introspection, tasks
recovery, remote        after a crash or a broken store; other processes
system, actor           the faces: what users hold, and what they subclass
testing                 what tests of actors need

A room may import the floors below its own, and nothing else (`make contracts`). docs/architecture.md has the way of a
message in five files, and how a feature hooks in.
"""
