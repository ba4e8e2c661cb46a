"""A power cut at any point, without cutting the power.

shim.c      stands between a process and libc: logs what it does to the disk, and fails where it is told to
shim        builds it, puts a process under it, tells it what is to fail: for other tests of disks, too
oplog       the log, read
images      what the disk may hold after a power cut at a point of the log
workload    the actors, the script that the victim plays, and what it says
victim      the process: `python -m powerloss.victim`
planted     bugs that the tests must find
audit       boots an image and compares it with what the victim said
"""
