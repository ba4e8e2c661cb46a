"""understudy: durable actors with supervision trees for asyncio.

Every message is a row, every turn is a transaction, every failure is a message.
"""

from .actors.actor import Actor, handler
from .actors.client import Client
from .actors.errors import (
    ActorNotFound,
    AskAfterTell,
    AskCycle,
    AskFailed,
    AskTimeout,
    HandlerTimeout,
    Ignore,
    KeyConflict,
    MailboxFull,
    NotAMessage,
    Reject,
    Retry,
    StartFailed,
    StateError,
    SystemStopped,
    TransactionTimeout,
    TurnClosed,
    UndecodableMessage,
    UnhandledMessage,
    UnknownMessageType,
)
from .actors.exits import Down, Exited, ExitReason
from .actors.message import Message, Request
from .actors.options import Backoff
from .actors.ref import ActorRef, Receipt
from .actors.system import ActorSystem, Settings
from .persistence.errors import (
    Fenced,
    SchemaTooNew,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreUnavailable,
    UnderstudyError,
)
from .persistence.events import Event
from .persistence.memory import MemoryStore
from .supervision.config import load_tree
from .supervision.errors import (
    AlreadyPresent,
    AlreadyStarted,
    ChildNotFound,
    ConfigError,
    Running,
    TreeGaveUp,
)
from .supervision.node import start
from .supervision.spec import ChildSpec, SupervisorSpec

__all__ = (
    "Actor",
    "ActorNotFound",
    "ActorRef",
    "ActorSystem",
    "AlreadyPresent",
    "AlreadyStarted",
    "AskAfterTell",
    "AskCycle",
    "AskFailed",
    "AskTimeout",
    "Backoff",
    "ChildNotFound",
    "ChildSpec",
    "Client",
    "ConfigError",
    "Down",
    "Event",
    "ExitReason",
    "Exited",
    "Fenced",
    "HandlerTimeout",
    "Ignore",
    "KeyConflict",
    "MailboxFull",
    "MemoryStore",
    "Message",
    "NotAMessage",
    "Receipt",
    "Reject",
    "Request",
    "Retry",
    "Running",
    "SchemaTooNew",
    "Settings",
    "StartFailed",
    "StateError",
    "StoreCorrupt",
    "StoreError",
    "StoreFull",
    "StoreLocked",
    "StoreUnavailable",
    "SupervisorSpec",
    "SystemStopped",
    "TransactionTimeout",
    "TreeGaveUp",
    "TurnClosed",
    "UndecodableMessage",
    "UnderstudyError",
    "UnhandledMessage",
    "UnknownMessageType",
    "handler",
    "load_tree",
    "start",
)
