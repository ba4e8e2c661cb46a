"""Delivery: how a message comes in, from `ref.tell` to the mailbox.

ref, receipt        the objects that users hold
tell                from outside and from a turn
admission, keys     tells that wait in line; idempotency keys
ask, deadlines      requests whose senders wait; time limits by the thousand
errors
"""
