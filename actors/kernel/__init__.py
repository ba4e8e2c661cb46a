"""Kernel: what an address is at run time, and what a turn commits. It knows no feature.

kernel              what every part of a node shares
hooks               how features hook in: `Participant` (a part of one turn), `Extension` (a part of a node)
cell                one address: status, mailbox, place in the schedule
incarnation         one life of an actor
turn, leaving       one message as one unit of work; a turn that ends its incarnation
current             the turn that code belongs to
state               the bytes behind an actor's state
router              addresses to cells, what was told into mailboxes, back-pressure
failures            what a failure, or refused data, is charged to
settings, errors
"""
