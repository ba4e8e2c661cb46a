"""A power cut at any point, without cutting the power.

shim.c      stands between a process and libc: logs what it does to the disk, and fails where it is told to
shim        builds it, puts a process under it, tells it what is to fail: for other tests of disks, too
disk        a folder under it, and the processes that work on it
oplog       the log, read
images      what the disk may hold after a power cut at a point of the log
workload    the actors                    tellers     what they are told, and what is said of it
victim      the process: `python -m powerloss.victim`
planted     bugs that the tests must find
audit       a node started on an image, and its books compared with what the victim said
cuts        the power cut at point after point
"""
