"""Offline: a store on which no node runs. Its rows are changed, or compared with a tree.

Read in this order:

edit.py              the changes of the command line: reset, retire, stop, start, delete, requeue, discard
lookup.py            which child is at an address
upgrade_check.py     which stored states and messages this code can't read
tree_diff.py         which children a changed config file would add, leave or change
"""
