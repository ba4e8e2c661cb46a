"""Spec: the data from which supervisors start their children, and its checks. Nothing runs here.

Read in this order:

spec.py           ChildSpec, SupervisorSpec: a tree as plain data
backoff.py        RestartBackoff: how long a child waits for its restart
fields.py         the rule of each field
validation.py     every problem of a spec, and the rules between fields; no class is imported
references.py     module:Class, the form in which a spec names a class
arguments.py      `args` become the arguments of the class's `__init__`
stored_args.py    `args` that would come back from the store as something else
resolution.py     a spec becomes class, options and arguments; check_tree
aliases.py        the old names of renamed classes and messages
"""
