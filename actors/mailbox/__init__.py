"""Mailbox: the messages that wait for an actor.

envelope                    `Envelope` and `Ask`: a message on its way
mailbox, backlog            the window in memory on a durable mailbox; the one for many rows on disk
index                       rows on disk whose actor isn't in memory
delayed, delayed_rows       what waits for a moment: in memory, and on disk by the hundred thousand
"""
