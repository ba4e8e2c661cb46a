"""User code: how the code of users is run, and what its end means.

stepping        a handler's code, step by step, in its actor's own context
user_task       a task of the runtime's in which user code runs: it tells the runtime's cancellations from others
scopes          the cancel scopes of anyio that a turn has left open on its task
containment     SystemExit in a task that user code has made ends that task, and not the event loop
"""
