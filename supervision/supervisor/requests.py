"""What a supervisor is asked. OTP: supervisor(3), `start_child` and its neighbours; the replies are OTP's as well.

    address = await system.ref("/bank").ask(StartChild(spec=ChildSpec(id="audit", actor=Audit)))

What a supervisor refuses is raised at the asker as it is (`AlreadyStarted`, `ChildNotFound`, …). From another process
the command line does the same: `greenroom actors start|stop|restart|delete`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ...actors.messages.message import Message, Request
from ...actors.messages.signals import ExitReason
from ..errors import ConfigError, show
from ..spec.spec import ChildSpec, SupervisorSpec
from ..spec.validation import validate

__all__ = (
    "ChildCounts",
    "ChildInfo",
    "CountChildren",
    "DeleteChild",
    "GetChildSpec",
    "Reconfigure",
    "RestartChild",
    "RestartRetry",
    "StartChild",
    "TerminateChild",
    "WhichChildren",
)

_ANY = SupervisorSpec(id="any", auto_shutdown="any_significant")
"""A supervisor that whatever is right by itself fits under."""


def _check(spec: object) -> None:
    """A spec that is wrong by itself is the asker's to know, field by field, before it is encoded.

    Raises:
        ConfigError
    """
    if problems := validate(spec, parent=_ANY):
        raise ConfigError(f"{type(spec).__name__} {show(getattr(spec, 'id', None))}", problems)


class ChildInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One child, as `WhichChildren` tells it."""

    id: str
    address: str
    status: Literal["running", "restarting", "stopped", "passive"]
    """restarting: it has exited, and hasn't started again yet; stopped: its spec is kept without a process; passive: it
    comes with its next message."""
    kind: Literal["actor", "supervisor"]
    actor: str | None
    """The reference of its class; None for a supervisor."""


class ChildCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many children there are, as `CountChildren` tells it."""

    specs: int
    """All of them, running or not."""
    active: int
    """Those that run."""
    supervisors: int
    """Those that are supervisors, running or not."""
    workers: int


class StartChild(Request[str | None]):
    """Add a child, commit its spec, then start it: after a crash the node has it again. The last in start order.

    Replies its address; None if its `on_start` raised `Ignore` (the spec is kept then, except under a dynamic
    supervisor and a temporary child's).

    Raises (at the asker):
        AlreadyStarted, AlreadyPresent: there is a child of that id.
        ConfigError: the spec has mistakes; all of them are listed.
        StartFailed: it didn't start. Nothing is kept.
        TooManyChildren: a dynamic supervisor has `max_children`.
    """

    spec: ChildSpec | SupervisorSpec

    def __post_init__(self) -> None:
        _check(self.spec)


class TerminateChild(Request[None]):
    """Stop a child by the shutdown ladder; one that doesn't run already is as good.

    Its spec is kept, and it stays stopped, in the next life of the node too, until `RestartChild`. A temporary
    child's spec, and a dynamic supervisor's child, go.

    Raises (at the asker):
        ChildNotFound
    """

    id: str


class RestartChild(Request[str | None]):
    """Start a child that was stopped, or has ended. Replies as `StartChild`.

    Raises (at the asker):
        ChildNotFound, Running, Restarting, NotForDynamic
        StartFailed: it didn't start; it stays stopped.
    """

    id: str


class DeleteChild(Request[None]):
    """Forget the spec of a stopped child. State and mail stay in the store (`greenroom actors retire` deletes those).

    One that the config file names is back when the node is started the next time.

    Raises (at the asker):
        ChildNotFound, Running, Restarting, NotForDynamic
    """

    id: str


class WhichChildren(Request[list[ChildInfo]]):
    """All children, the one that was started last first."""


class CountChildren(Request[ChildCounts]):
    """How many children there are."""


class GetChildSpec(Request[ChildSpec | SupervisorSpec]):
    """The spec of one child.

    Raises (at the asker):
        ChildNotFound
    """

    id: str


class Reconfigure(Request[None]):
    """Change a running supervisor's flags and child specs. OTP: supervisor.erl, `code_change`.

    Children that run go on. Their `restart`, `shutdown` and `significant` hold at once, the rest of their new specs
    from their next start. Children that are new are added without being started (`RestartChild` does); those that
    aren't named stay, and stand behind the named ones. The id, and what makes it dynamic or partitioned, can't change;
    what is below a supervisor among the children is changed by asking that one.

    Raises (at the asker):
        ConfigError: there are mistakes; nothing was changed.
    """

    spec: SupervisorSpec

    def __post_init__(self) -> None:
        _check(self.spec)


class RestartRetry(Message):
    """To self: go on with a restart that had to wait, for its backoff or because a start failed.

    A message, so that administration works in between (OTP).
    """

    address: str
    incarnation: int
    """The one that exited: when it isn't the last any more, somebody else has dealt with it."""
    resume: tuple[str, ...]
    """The children still to be started, in order."""
    charged: bool
    """Whether it counts for the intensity: a failed start does, a backoff doesn't."""
    reason: ExitReason | None = None
    """Why the start failed."""
