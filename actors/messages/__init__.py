"""Messages: the messages themselves, as data. Read message first.

message, types      `Message` and `Request`, and which types can be stored
codec               a message's bytes, and back
vouching            the quick look that takes the place of that, for classes of scalars
difference          the first place in which a value comes back as another
signals             `ExitReason`, `Exited`, `Down`, `Exit`: how the end of an incarnation is told
tracebacks          tracebacks as text
errors              errors about messages, and the root of the actor layer's errors
aliases             the old names of renamed classes
"""
