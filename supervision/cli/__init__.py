"""The command line, `greenroom`. docs/cli.md has every command for users.

Read in this order:

app.py         all commands, and the exit code of each
exit_codes.py  the exit codes
commands/      a file for each command
view/          where a command finds its store, and how it shows what it has found
process/       the two processes of `greenroom run`
templates/     the files that `greenroom init` writes
"""
