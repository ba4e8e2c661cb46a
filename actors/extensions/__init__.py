"""Extensions: features that hook into the kernel. None imports another.

monitors            monitors and links
timers              messages that an actor sends to itself later
stash               messages that an actor puts aside
groups              actors under a name
introspection       what every actor answers: state, statistics, suspension, traces
tasks               coroutines beside the actors, under a `TaskSupervisor`
"""
