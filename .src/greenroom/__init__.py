"""greenroom: durable actors with supervision trees for asyncio.

Every message is a row, every turn is a transaction, every failure is a message.
"""

from .actors.actor import Actor, handler
from .actors.aliases import Aliases
from .actors.client import Client
from .actors.errors import (
    ActorNotFound,
    AskAfterTell,
    AskCycle,
    AskFailed,
    AskTimeout,
    GroupEmpty,
    HandlerTimeout,
    Ignore,
    KeyConflict,
    KeyDamaged,
    MailboxFull,
    NotAllTold,
    NotAMessage,
    Reject,
    Retry,
    StartFailed,
    StateError,
    SystemStopped,
    TooManyMonitors,
    TransactionTimeout,
    TurnClosed,
    UndecodableMessage,
    UnhandledMessage,
    UnknownMessageType,
)
from .actors.exits import Down, Exited, ExitReason
from .actors.groups import Group, Receipts
from .actors.introspection import ActorStatistics, GetState, GetStatistics, Resume, Statistics, Suspend
from .actors.message import Message, Request
from .actors.options import Backoff
from .actors.ref import ActorRef, Receipt
from .actors.settings import Settings
from .actors.system import ActorSystem
from .actors.task import Task
from .actors.task_errors import TaskCancelled, TasksFull, TaskTimeout
from .actors.tasks import Tasks
from .actors.timer_errors import ExtraMissing, StashFull, TooManyTimers
from .actors.trace import Trace, TracedTurn
from .persistence.engines.memory import MemoryStore
from .persistence.errors import (
    CommitsLost,
    Fenced,
    GreenroomError,
    SchemaTooNew,
    StoreCorrupt,
    StoreDataError,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreUnavailable,
)
from .persistence.events import Event
from .supervision.config.load import load_tree
from .supervision.errors import (
    AlreadyPresent,
    AlreadyStarted,
    ChildNotFound,
    ConfigError,
    NotForDynamic,
    Restarting,
    Running,
    SupervisorError,
    TooManyChildren,
    TreeGaveUp,
)
from .supervision.node.start import start
from .supervision.spec.spec import ChildSpec, RestartBackoff, SupervisorSpec
from .supervision.supervisor.protocol import (
    ChildCounts,
    ChildInfo,
    CountChildren,
    DeleteChild,
    GetChildSpec,
    Reconfigure,
    RestartChild,
    StartChild,
    TerminateChild,
    WhichChildren,
)
from .supervision.supervisor.task_supervisor import TaskInfo, TaskSupervisor, WhichTasks

__all__ = (
    "Actor",
    "ActorNotFound",
    "ActorRef",
    "ActorStatistics",
    "ActorSystem",
    "Aliases",
    "AlreadyPresent",
    "AlreadyStarted",
    "AskAfterTell",
    "AskCycle",
    "AskFailed",
    "AskTimeout",
    "Backoff",
    "ChildCounts",
    "ChildInfo",
    "ChildNotFound",
    "ChildSpec",
    "Client",
    "CommitsLost",
    "ConfigError",
    "CountChildren",
    "DeleteChild",
    "Down",
    "Event",
    "ExitReason",
    "Exited",
    "ExtraMissing",
    "Fenced",
    "GetChildSpec",
    "GetState",
    "GetStatistics",
    "Group",
    "GroupEmpty",
    "HandlerTimeout",
    "Ignore",
    "KeyConflict",
    "KeyDamaged",
    "MailboxFull",
    "MemoryStore",
    "Message",
    "NotAMessage",
    "NotAllTold",
    "NotForDynamic",
    "Receipt",
    "Receipts",
    "Reconfigure",
    "Reject",
    "Request",
    "RestartBackoff",
    "RestartChild",
    "Restarting",
    "Resume",
    "Retry",
    "Running",
    "SchemaTooNew",
    "Settings",
    "StartChild",
    "StartFailed",
    "StashFull",
    "StateError",
    "Statistics",
    "StoreCorrupt",
    "StoreDataError",
    "StoreError",
    "StoreFull",
    "StoreLocked",
    "StoreUnavailable",
    "SupervisorError",
    "SupervisorSpec",
    "Suspend",
    "SystemStopped",
    "Task",
    "TaskCancelled",
    "TaskInfo",
    "TaskSupervisor",
    "TaskTimeout",
    "Tasks",
    "TasksFull",
    "TerminateChild",
    "TooManyChildren",
    "TooManyMonitors",
    "TooManyTimers",
    "Trace",
    "TracedTurn",
    "TransactionTimeout",
    "TreeGaveUp",
    "TurnClosed",
    "UndecodableMessage",
    "GreenroomError",
    "UnhandledMessage",
    "UnknownMessageType",
    "WhichChildren",
    "WhichTasks",
    "handler",
    "load_tree",
    "start",
)
