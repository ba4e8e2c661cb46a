"""View: where commands find their store, and how they show what they have found.

Read in this order:

target.py            which store a command means
desk.py              the store, and the running node that can be asked
administration.py    a change by the running node, or on the store if none runs
output.py            tables, pairs and JSON on stdout; remarks on stderr
paging.py            listings have a limit
damage.py            a damaged row in a listing
forest.py            a tree as it is shown
stored_children.py   the stored records of children
bars.py              how far a long command is
"""
