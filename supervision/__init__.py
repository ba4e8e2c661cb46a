"""The tree.

spec, rules, resolution, args, reference    what a tree is made from, checked
config, settings, sources, build        the same from a file, the environment and flags
syntax, yaml_syntax                     a file's text becomes data
aliases                                 what renamed classes were called
supervisor, strategies, intensity       who reacts to exits, and how
backoff                                 how long a restart waits
protocol, administered                  what a supervisor is asked, and how it answers
tree, dynamic                           whose child is whose; activation and passivation
children, incidents                     the rows behind both
tasks                                   coroutines under supervision
node                                    store, system and tree together: start()
administration, child_commands, offline what can be done to a running node, and to the store of a stopped one
places, upgrade_check, tree_diff        what of a store the code at hand can't read; what a changed file would change
traces                                  turns that another process follows
cli                                     the command line
"""
