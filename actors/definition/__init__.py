"""Definition: the declarations of an actor class, worked out once when the class is defined.

decorator, handlers         `@handler`, and one handler as the runtime reads it
options, definition         the class options; the whole class
decoding                    from a stored body to a message of this class
versions, stored_state      state versions; from a stored row to a state of this class
"""
