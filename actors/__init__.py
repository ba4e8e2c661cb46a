"""One actor's life. A message flows through these files in this order:

    message, ref          what is told, and to whom             client, letterbox   from another process, and
    delivery, admission   into the mailbox; or in line          inbox               taken in by the node
    envelope, mailbox     on its way, waiting                   delays              waiting for a moment
    pending, backlog      what waits on disk, and whose it is   due_rows            and for a moment
    runner                the task that takes it up             stepping            the handler's code, step by step
    handling, dispatch    one message becomes one turn          turn, state         what the turn collects, and leaves
    plain_turns           or a row of them do, the quick way    batches             or several become one
    failures              what a failure is charged to          asks, keys          replies; idempotency
    exiting, lifecycle    the end and the start of a life       cell, incarnation   an address; one life of it
    monitors, relations   who is told of whose exit             intents             what a turn monitors and links
    links                 who exits with whom                   groups              told under one name
    tasks, task           coroutines beside the actors, under a TaskSupervisor (supervision/tasks)
    timers, timer         what comes due, and its ticks         timing, schedule    what a turn schedules, for when
    stash                 what is put aside for later           fair_share          who held the loop for long
    introspection         what every actor answers              suspension          one that is held
    trace, tracing        its turns as they end                 watching, stack     how they are seen; where it waits
    recovery, watchdog    after a crash; when the loop hangs    refusals            who answers for refused data
    damage                what of the store can't be believed
    system                all of it together

    stored_state, versions, aliases   what older code has stored, as the code of now has it

What users declare: actor, handlers, options, definition, types. What they see of failures: errors, exits.
"""
