"""The contract between an engine and everything above it. Read in this order:

- `rows`: a class for each kind of row, and the table that it lives in
- `checksums`: the checksum that each row carries
- `commit`: the changes of one transaction
- `contract`: `Store`, which every engine implements
- `attempts`: `AttemptLog`, the note of the messages that are being handled

Nothing here knows an engine. An engine is done when it passes `tests/conformance/store`.
"""
