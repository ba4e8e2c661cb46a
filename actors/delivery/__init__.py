"""Delivery: how a message comes in, from `ref.tell` to the mailbox.

ref, receipt        the objects that users hold; threads has `ref.from_thread`
guard               the checks of everything that comes in, by whichever door
tell                from outside and from a turn
admission, keys     tells that wait in line; idempotency keys
ask, ask_line       requests whose senders wait; those that wait for room
deadlines           time limits by the thousand
errors
"""
