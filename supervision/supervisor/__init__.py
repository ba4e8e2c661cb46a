"""Supervisor: the actor whose children are actors. It starts, restarts and stops them by OTP's rules.

Read in this order:

requests.py          the messages that a supervisor answers: StartChild, WhichChildren, …
supervisor.py        Supervisor: every handler
children.py          how one supervisor starts, stops and forgets its children
restarts.py          how it restarts them: strategy, intensity, backoff
intensity.py         how many restarts are too many
tree.py              Tree: makes the cells of a tree of specs
child_table.py       which supervisor has which children, while the node runs
child_rows.py        the rows of children, so that the next life of the node has them again
activation.py        children under templates come with their first message, and leave memory
reconfiguration.py   which changes a running supervisor can take
incidents.py         rows that say which actor exited, why, and what its supervisor did
task_supervisor.py   TaskSupervisor: coroutines under supervision
"""
