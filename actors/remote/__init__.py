"""Remote: tells and asks of other processes, by way of the store.

client              tell and ask from another process
channel             rows into the inbox, replies out
inbox               the node's side
wire_errors         errors as rows
"""
