"""Requests: what a supervisor can be asked, with its replies. OTP: supervisor(3), `start_child` and its neighbours.

    address = await kernel.ref("/bank").ask(StartChild(spec=ChildSpec(id="audit", actor=Audit)))

If a supervisor refuses a request, its error is raised at the asker as it is (`AlreadyStarted`, `ChildNotFound`, …).
The command line asks the same from another process: `greenroom actors start|stop|restart|delete`.
"""

from __future__ import annotations

from typing import Literal, TypeVar

import msgspec

from ...actors.messages.message import Message, Request
from ...actors.messages.signals import ExitReason
from ..errors import ConfigError, show
from ..spec.spec import ChildSpec, Spec, SupervisorSpec
from ..spec.stored_args import changed_args, with_plain_args
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

S = TypeVar("S", bound=Spec)

_ANY = SupervisorSpec(id="any", auto_shutdown="any_significant")
"""A supervisor that takes every child whose spec is right by itself."""


def _checked(spec: S) -> S:
    """The spec with plain `args`. The asker is told, before the request is encoded, what is wrong with it by itself.

    Raises:
        ConfigError
    """
    if problems := validate(spec, parent=_ANY) or [*changed_args(spec)]:
        known = isinstance(spec, ChildSpec | SupervisorSpec)
        raise ConfigError(f"{type(spec).__name__} {show(spec.id)}" if known else "spec", problems)
    return with_plain_args(spec)


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
    """Add a child as the last in start order: commit its spec, then start it. After a crash the node has it again.

    The reply is its address; or None if its `on_start` raised `Ignore` (the spec is kept then, except under a dynamic
    supervisor and a temporary child's).

    Raises (at the asker):
        AlreadyStarted, AlreadyPresent: there is a child of that id.
        ConfigError: the spec has mistakes; all of them are listed.
        StartFailed: it didn't start. Nothing is kept.
        TooManyChildren: a dynamic supervisor has `max_children`.
    """

    spec: ChildSpec | SupervisorSpec

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "spec", _checked(self.spec))


class TerminateChild(Request[None]):
    """Stop a child within its shutdown time. If it doesn't run, there is nothing to stop, and that is no error.

    Its spec is kept, and it stays stopped, in the next life of the node too, until `RestartChild`. A temporary
    child's spec, and a dynamic supervisor's child, go.

    Raises (at the asker):
        ChildNotFound
    """

    id: str


class RestartChild(Request[str | None]):
    """Start a child that was stopped, or has ended. The reply is that of `StartChild`.

    Raises (at the asker):
        ChildNotFound, Running, Restarting, NotForDynamic
        StartFailed: it didn't start; it stays stopped.
    """

    id: str


class DeleteChild(Request[None]):
    """Forget the spec of a stopped child. State and mail stay in the store (`greenroom actors retire` deletes those).

    A child that the config file names is back when the node is started the next time.

    Raises (at the asker):
        ChildNotFound, Running, Restarting, NotForDynamic
    """

    id: str


class WhichChildren(Request[list[ChildInfo]]):
    """All children, the one that was started last first."""


class CountChildren(Request[ChildCounts]):
    """How many children there are."""


class GetChildSpec(Request[ChildSpec | SupervisorSpec]):
    """The spec of one child, with its `args` as JSON has them.

    Raises (at the asker):
        ChildNotFound
    """

    id: str


class Reconfigure(Request[None]):
    """Change a running supervisor's flags and child specs. OTP: supervisor.erl, `code_change`.

    Children that run go on. Their new `restart`, `shutdown` and `significant` hold at once, the rest of their new specs
    from their next start. New children are added, and not started (`RestartChild` starts them). Children that the spec
    doesn't name stay, behind those that it names. The id can't change, nor can the supervisor become dynamic or
    partitioned, or cease to be so. The children of a supervisor below are changed by a request to that supervisor.

    Raises (at the asker):
        ConfigError: there are mistakes; nothing was changed.
    """

    spec: SupervisorSpec

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "spec", _checked(self.spec))


class RestartRetry(Message):
    """To self: go on with a restart that had to wait for its backoff, or whose start failed.

    It is a message so that requests are answered in between (OTP).
    """

    address: str
    charged: bool
    """Whether it counts for the intensity: a failed start does, a backoff doesn't."""
    reason: ExitReason | None = None
    """Why the start failed."""
