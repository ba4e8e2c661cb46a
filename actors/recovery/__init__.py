"""Recovery: the work after a crash, and after the store has failed (docs/semantics/recovery.md).

reset               the boot's reading, and a tree that is reset from its store
scan                mail on disk from before
caution             suspects: messages that were running when the node died
damage              rows that can't be believed
housekeeping        rows whose time is over
watchdog            a loop that stands still
"""
