# indexer-plugin: block
"""The plug-in named above blocks the event loop for good.

The watchdog ends the node and names the handler. After three attempts this file is a dead letter.
"""
