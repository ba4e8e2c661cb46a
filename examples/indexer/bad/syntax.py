"""A file that isn't Python: the parser rejects it, and goes on with the next one."""

def unfinished(:
