"""Monitors and links: exits that are told to others (docs/semantics/relations.md).

relations           both as data, and what is owed to others by an exit
registry, links     the node's part; exit signals
changes             a turn's part
errors
"""
