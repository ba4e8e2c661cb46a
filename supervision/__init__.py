"""The tree.

spec, rules, recipe, args, reference    what a tree is made from, checked
config, settings, sources, build        the same from a file, the environment and flags
syntax, yaml_syntax                     a file's text becomes data
aliases                                 what renamed classes were called
supervisor, strategies, intensity       who reacts to exits, and how
tree                                    whose child is whose; activation and passivation
node                                    store, system and tree together: start()
administration, offline                 what can be done to a running node, and to the store of a stopped one
places, upgrade_check, tree_diff        what of a store the code at hand can't read; what a changed file would change
traces                                  turns that another process follows
cli                                     the command line
"""
