"""Process: the two processes of `greenroom run`, a small parent and the node that it starts again when it dies.

Read in this order:

parent.py            starts the node, and starts it again
orders.py            what the parent hands to the node's process
child.py             the node's process
lifeline.py          the node ends with its parent, and within its time
signals.py           the signals of the parent as events
progress.py          how far a node is from being idle
crash_report.py      the last exits of a tree that gave up
log.py               where the log goes
"""
