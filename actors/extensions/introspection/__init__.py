"""Introspection: requests that every actor answers, and observed turns (OTP: sys(3); docs/introspection.md).

requests, answers   the requests, and their handlers
suspension          an actor that handles nothing but these
trace, tracer       the turns of an address; the node's part
observer            the observer that sees turns end
stack               where a handler waits
"""
