"""greenroom: durable actors with supervision trees for asyncio.

Every message is a row, every turn is a transaction, every failure is a message.
"""

from .actors.actor import Actor, handler
from .actors.definition.options import Backoff
from .actors.delivery.errors import (
    AskAfterTell,
    AskCycle,
    AskTimeout,
    KeyConflict,
    KeyDamaged,
    KeyUnsupported,
    MailboxFull,
    NodeNotRunning,
)
from .actors.delivery.ref import ActorRef, Receipt
from .actors.extensions.groups import Group, GroupEmpty, NotAllTold, Receipts
from .actors.extensions.introspection.requests import (
    ActorStatistics,
    GetState,
    GetStatistics,
    Resume,
    Statistics,
    Suspend,
)
from .actors.extensions.introspection.trace import Trace, TracedTurn
from .actors.extensions.monitors.errors import TooManyMonitors
from .actors.extensions.stash import StashFull
from .actors.extensions.tasks.errors import TaskCancelled, TasksFull, TaskTimeout
from .actors.extensions.tasks.task import Task
from .actors.extensions.tasks.tasks import Tasks
from .actors.extensions.timers.errors import ExtraMissing, TooManyTimers
from .actors.kernel.errors import (
    ActorNotFound,
    AskFailed,
    ExitInTask,
    HandlerTimeout,
    Ignore,
    Reject,
    Retry,
    SelfCancelled,
    StartFailed,
    SystemStopped,
    TransactionTimeout,
    TurnClosed,
)
from .actors.kernel.settings import Settings
from .actors.messages.aliases import Aliases
from .actors.messages.errors import (
    NotAMessage,
    ReplyError,
    StateError,
    UndecodableMessage,
    UnhandledMessage,
    UnknownMessageType,
)
from .actors.messages.message import Message, Request
from .actors.messages.signals import Down, Exited, ExitReason
from .actors.remote.client import Client
from .actors.system import ActorSystem
from .persistence.engines.memory.engine import MemoryStore
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
    StoreLost,
    StoreUnavailable,
    WrongThread,
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
from .supervision.supervisor.requests import (
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
    "ExitInTask",
    "ExitReason",
    "Exited",
    "ExtraMissing",
    "Fenced",
    "GetChildSpec",
    "GetState",
    "GetStatistics",
    "GreenroomError",
    "Group",
    "GroupEmpty",
    "HandlerTimeout",
    "Ignore",
    "KeyConflict",
    "KeyDamaged",
    "KeyUnsupported",
    "MailboxFull",
    "MemoryStore",
    "Message",
    "NodeNotRunning",
    "NotAMessage",
    "NotAllTold",
    "NotForDynamic",
    "Receipt",
    "Receipts",
    "Reconfigure",
    "Reject",
    "ReplyError",
    "Request",
    "RestartBackoff",
    "RestartChild",
    "Restarting",
    "Resume",
    "Retry",
    "Running",
    "SchemaTooNew",
    "SelfCancelled",
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
    "StoreLost",
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
    "UnhandledMessage",
    "UnknownMessageType",
    "WhichChildren",
    "WhichTasks",
    "WrongThread",
    "handler",
    "load_tree",
    "start",
)
