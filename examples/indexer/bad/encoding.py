"""A file that is not in its encoding: it says UTF-8 by saying nothing."""

NAME = "café"


def greet():
    return NAME
