"""Introspection: what every actor answers, and how its turns are seen (OTP: sys(3); docs/introspection.md).

requests, answers   the requests, and their handlers
suspension          an actor that handles nothing but these
trace, tracer       the turns of an address; the node's part
observer            what sees turns end
stack               where a handler waits
"""
