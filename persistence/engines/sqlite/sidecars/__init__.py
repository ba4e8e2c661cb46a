"""The sidecar files: the files that a store keeps beside its database. Read in this order:

- `files`: their names, and how a file is written whole or not at all
- `lock`: `.lock`, held by the process that owns the store
- `slot_file`: `.slots`, the messages that are being handled, and suspects; survives the end of the process
- `mark`: `.mark`, how many commits the database had
- `loss`: compares database and mark, and says which commits are missing
- `presence`: whether the files lie where they lay when they were opened; has no file of its own
- `openers`: the processes that have the database open; has no file of its own
"""
