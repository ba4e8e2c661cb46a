"""Commands: a file for each command of `greenroom`, or for a few that belong together. app.py puts them together.

run.py           the node
checks.py        check, config; comparing.py has check --against and check --diff
trees.py         tree
actors.py        actors list, show, reset, retire, suspend, resume
supervising.py   actors stop, start, restart, delete
trace.py         actors trace
letters.py       send, ask
messages.py      messages
dead.py          dead letters
timers.py        timers
incidents.py     incidents
db.py            db; backups.py and verifying.py have some of its commands
init.py          a new project
completion.py    completion in a shell
"""
