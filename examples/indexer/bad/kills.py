# indexer-plugin: kill
"""The plug-in named above kills the whole process.

Files that were being parsed beside it are not to blame: after the crash each is run alone, and only this one dies
again. After three attempts this file is a dead letter.
"""
