"""The database: rows, transactions and events. Knows nothing of actors.

record      the rows and their checksums          store       what every engine keeps
effects     what a turn asks of a commit          order       the queue of that; waiters: who waits for a place
committer   group commit: turns in, one transaction out
pace        on the loop or in a thread            bisection   what of a batch is refused
attempts    the slot file of started messages
schema, migrations, upgrade                       lock        one owner a database
sqlite, beside, sql, driver, worker, held, lent   memory      the same without a file
backup, restore, files, progress                  verify      everything looked at
mark        how far the database had come            loss        what it lacks of that
upkeep      made smaller, brought up to date      openers     who has the file open
events      what a node reports                   runtime     clock, randomness, scheduling
"""
