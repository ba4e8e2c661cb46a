"""Execution: how a turn runs. Read dispatcher and executor first, fast_path last.

dispatcher              the pool of runners
executor                one message becomes one turn
batch, paging           several messages as one turn; bodies read from disk when their turn comes
user_code               how the code of users is run, and what its end means
fair_share              a cell that held the loop for long gives it back
start, hook_turns       a new incarnation; `on_start` and `on_stop` as turns
shutdown, exits         the ladder by which one is stopped; how one ends by itself
transaction             user transactions: SQL of the user's own in a turn's commit
fast_path               the same as the executor, in fewer steps, for plain handlers
"""
