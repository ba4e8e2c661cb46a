"""ExitReason, Exited, Down and Exit: how the end of an incarnation is told.

The exception itself never travels. An exit reason is data, so that it can be stored, sent and shown.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from .message import Message
from .tracebacks import text_of, traceback_of, type_name

__all__ = ("TEXT_LIMIT_BYTES", "TRACEBACK_LIMIT_BYTES", "Down", "Exit", "ExitKind", "ExitReason", "Exited")

ExitKind = Literal["normal", "shutdown", "killed", "error"]

NO_PROCESS = "NoProcess"
"""The `error` of a monitor's or link's target that didn't run when it was set. OTP: noproc."""
TRACEBACK_LIMIT_BYTES = 8 * 1024
TEXT_LIMIT_BYTES = 2 * 1024


class ExitReason(msgspec.Struct, frozen=True, omit_defaults=True):
    """The reason why an incarnation ended.

    kind: "normal" (it was done), "shutdown" (it was told to stop), "killed" (it was given no time to
    stop) or "error" (an exception).
    error: the exception's type, with its module unless it is built in; "" where there was none.
    text: the exception's message, or a remark. At most 2 KiB.
    traceback: causes and notes included. At most 8 KiB, cut in the middle.
    """

    kind: ExitKind
    error: str = ""
    text: str = ""
    traceback: str = ""

    @classmethod
    def normal(cls) -> ExitReason:
        return _NORMAL

    @classmethod
    def shutdown(cls, text: str = "") -> ExitReason:
        return cls("shutdown", text=_cut(text, TEXT_LIMIT_BYTES))

    @classmethod
    def killed(cls, text: str = "") -> ExitReason:
        return cls("killed", text=_cut(text, TEXT_LIMIT_BYTES))

    @classmethod
    def no_process(cls, text: str) -> ExitReason:
        """The reason of a monitor or a link to an actor that doesn't run. OTP: noproc."""
        return cls("error", error=NO_PROCESS, text=_cut(text, TEXT_LIMIT_BYTES))

    @classmethod
    def from_exception(cls, error: BaseException) -> ExitReason:
        """The reason of an exit by `error`. Whatever the exception's `__str__` does, only a Ctrl-C in it is raised."""
        return cls(
            "error",
            error=_cut(type_name(type(error)), TEXT_LIMIT_BYTES),
            text=_cut(text_of(error), TEXT_LIMIT_BYTES),
            traceback=_cut(traceback_of(error), TRACEBACK_LIMIT_BYTES),
        )

    def __str__(self) -> str:
        parts = (self.error or self.kind, self.text)
        return ": ".join(part for part in parts if part)


_NORMAL = ExitReason("normal")


class Exited(Message):
    """Told to a supervisor when an incarnation of a child has ended, and to an actor that traps exits
    (`trap_exits = True`) when a linked one has."""

    address: str
    boot: int
    """The boot epoch of the node in which it lived. An exit of an earlier boot is only recorded."""
    incarnation: int
    reason: ExitReason
    message_uid: str | None = None
    """The uid of the message whose handling ended it, if one did."""
    attempt: int = 0
    """The attempt of that message that failed, from 1; 0 if there was none."""


class Down(Message):
    """Told once to an actor that monitors another, when that one has exited for good or for now."""

    address: str
    reason: ExitReason
    """The reason without its traceback, which the supervisor has. `error` is "NoProcess" if nothing ran there."""
    monitor: str = ""
    """The id that `self.monitor(ref)` returned."""


class Exit(NamedTuple):
    """The end of one incarnation."""

    address: str
    number: int
    """The number of the incarnation; 0 where there was none."""
    reason: ExitReason
    uid: str = ""
    """The uid of the message whose handling ended it, if one did."""
    attempt: int = 0
    retired: bool = False
    """Whether the actor is gone for good, with all that belongs to its address."""

    @property
    def plain(self) -> ExitReason:
        """The reason as a `Down` has it, without the traceback: that is for the supervisor, and thousands may watch."""
        return msgspec.structs.replace(self.reason, traceback="") if self.reason.traceback else self.reason

    def signal(self, boot: int) -> Exited:
        """The signal that reaches the other end of a link. OTP: a kill arrives as `killed`, and that can be trapped."""
        reason = self.reason if self.reason.kind != "killed" else ExitReason.killed("killed by a link")
        return Exited(
            address=self.address,
            boot=boot,
            incarnation=self.number,
            reason=reason,
            message_uid=self.uid or None,
            attempt=self.attempt,
        )


def storable(reason: ExitReason) -> ExitReason:
    """A reason that a user made by hand, within the limits.

    Raises:
        TypeError: it is no `ExitReason`.
    """
    if not isinstance(reason, ExitReason):
        raise TypeError(f'{reason!r:.100} is no reason to exit: write ExitReason("error", text="..."), or leave it out')
    if reason.kind not in ("normal", "shutdown", "killed", "error"):
        raise ValueError(f"ExitReason(kind={reason.kind!r:.100}): write normal, shutdown, killed or error")
    return ExitReason(
        reason.kind,
        error=_cut(reason.error, TEXT_LIMIT_BYTES),
        text=_cut(reason.text, TEXT_LIMIT_BYTES),
        traceback=_cut(reason.traceback, TRACEBACK_LIMIT_BYTES),
    )


def _cut(text: str, limit_bytes: int) -> str:
    """Cut a text to at most `limit_bytes` of UTF-8, in the middle, because the outermost call and the
    error both matter."""
    if len(text) <= limit_bytes >> 2 and text.isascii():
        return text
    data = text.encode("utf-8", "backslashreplace")  # a lone surrogate can't be stored
    if len(data) <= limit_bytes:
        return data.decode()
    mark = f"\n… {len(data) - limit_bytes} bytes cut …\n".encode()
    half = max(0, (limit_bytes - len(mark)) // 2)
    head = data[:half].decode("utf-8", "ignore")
    tail = data[len(data) - half :].decode("utf-8", "ignore")
    return f"{head}{mark.decode()}{tail}"
