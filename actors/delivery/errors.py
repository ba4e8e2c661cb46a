"""Errors of telling and asking: full mailboxes, idempotency keys, asks that can't be answered."""

from __future__ import annotations

from ..messages.errors import ActorError, type_name_of

__all__ = (
    "AskAfterTell",
    "AskCycle",
    "AskTimeout",
    "KeyConflict",
    "KeyDamaged",
    "KeyUnsupported",
    "MailboxFull",
    "NodeNotRunning",
)


class MailboxFull(ActorError):
    """The mailbox holds as many messages as it may. `undelivered` is the message that was not taken."""

    def __init__(self, address: str, capacity: int, undelivered: object = None) -> None:
        self.address = address
        self.capacity = capacity
        self.undelivered = undelivered
        super().__init__(
            f"the mailbox of {address} is full ({capacity} messages). Try again later, send less, "
            "or raise the actor's `capacity`"
        )


class KeyConflict(ActorError):
    """The idempotency key was used for another message to the same mailbox."""

    def __init__(self, address: str, key: str) -> None:
        self.address = address
        self.key = key
        super().__init__(
            f"{address} was told another message under the key {key!r}. Repeat a key only with the same message"
        )


class KeyDamaged(KeyConflict):
    """The record of the idempotency key is damaged, so it isn't known whether this message was told under it before."""

    def __init__(self, address: str, key: str) -> None:
        self.address = address
        self.key = key
        why = f"the record of the key {key!r} at {address} is damaged: it isn't known whether this was told before"
        super(KeyConflict, self).__init__(f"{why}. If it wasn't handled, tell it under another key")


class KeyUnsupported(ActorError, ValueError):
    """An idempotency key needs a mailbox that has rows."""

    def __init__(self, address: str, key: str) -> None:
        self.address = address
        self.key = key
        super().__init__(
            f"key={key!r:.100}: {address} is durable=False, and an idempotency key needs a durable mailbox. "
            "Tell it without a key, or make the actor durable"
        )


class NodeNotRunning(ActorError):
    """No node runs on the store, so nobody can answer. The request was not left there."""

    def __init__(self, address: str, store: str) -> None:
        self.address = address
        self.store = store
        super().__init__(
            f"no node runs on {store}, so nobody can answer for {address}. Start one (`greenroom run`), or tell a "
            "message, which waits for the next node"
        )


class AskTimeout(ActorError, TimeoutError):
    """No reply came in time. The request may still have been handled."""

    def __init__(self, address: str, request: object, timeout_s: float) -> None:
        self.address = address
        self.request = request
        self.timeout_s = timeout_s
        super().__init__(
            f"{address} did not answer {type_name_of(request)} within {timeout_s:g} s. "
            "It may still have been handled: make the request safe to repeat, or raise timeout_s"
        )


class AskCycle(ActorError):
    """The asks wait for each other in a circle and could never be answered."""

    def __init__(self, path: tuple[str, ...]) -> None:
        self.path = path
        super().__init__(f"the ask closes a circle: {' -> '.join(path)}. Use `tell` for one of these steps")


class AskAfterTell(ActorError):
    """The turn has told this address already: the ask would overtake that message."""

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__(
            f"this turn has told {address}, which leaves when the turn finishes; an ask now would overtake "
            "it. Ask first, or tell only"
        )
