"""Recovery: the work after a crash, and after the store has failed (docs/semantics/recovery.md).

reset               the boot's reading, and a tree that is reset from its store
scan                mail on disk from before
suspects            the messages that were being handled when the node died: what is concluded about each
trial               which suspects run at once
caution             the care while there are suspects
damage              rows that can't be believed
housekeeping        rows whose time is over
watchdog            a loop that stands still
"""
