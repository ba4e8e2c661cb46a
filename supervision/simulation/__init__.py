"""Simulation: a whole node on a virtual clock, with crashes and faults that are drawn from a seed.

Read in this order (docs/simulation.md is the page for users):

simulate.py          simulate(): seed after seed
plan.py              the tree, the workload and the limits of a simulation
hazards.py           everything that may happen to a node
run.py               one seed's run, as the workload sees it
attempt.py           one run of one seed: life after life on the same data
life.py              one life: its data, its weather, how it ends
loop.py              the event loop: virtual time, a drawn schedule, a death at any step
simulated.py         the Runtime and the Store of a simulated node
inline.py            the user's SQL without threads
"""
