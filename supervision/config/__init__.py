"""Config: a TOML, JSON or YAML file, the environment and flags become a checked tree with its settings.

Read in this order:

load.py           load_tree, load_config: all the steps, in their order
sources.py        the file, the environment, the flags, and which of them counts
formats.py        which parser reads which file
syntax.py         TOML and JSON
yaml_syntax.py    YAML 1.2
sections.py       [store] and [node], their rules, the JSON Schema
build.py          raw content becomes specs, and no mistake is lost
"""
