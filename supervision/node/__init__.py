"""Node: store, actor system and tree together, and the commands that a running node carries out.

Read in this order:

start.py             start(): the boot of a node, and its end
administration.py    the commands that other processes send; reset, retire, suspend and resume an actor
listing.py           the cells of the node, as they are listed and shown
child_commands.py    stop, start, restart and delete a child
dead_letters.py      requeue and discard dead letters
traces.py            turns that another process follows
log.py               a node's events as lines of a log
"""
