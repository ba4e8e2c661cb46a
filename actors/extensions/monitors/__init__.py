"""Monitors and links: exits that are told to others (docs/semantics/relations.md).

relations           both as data, and what an exit owes by them
registry, links     the node's part; exit signals
changes             a turn's part
errors
"""
