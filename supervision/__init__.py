"""Supervision: trees of actors, and the nodes that run them.

A room may import the rooms on lower floors, and none on its own floor or above. From the lowest floor to the highest:

errors.py  printable.py    the errors of all rooms; any text as a terminal may show it
spec/                      the data of a tree, and its checks
config/  supervisor/       a config file becomes a tree; the supervisor actor, its children and their rows
node/  offline/            store, system and tree together, and the commands of a running node; a store without a node
cli/  simulation/          the command line; a whole node on a virtual clock, with crashes and faults

Start with spec/, then supervisor/, then node/start.py.
"""
