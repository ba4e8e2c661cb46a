"""RestartBackoff: how long a child that exits again and again waits for its restart."""

from __future__ import annotations

from ...actors.definition.options import FLOAT_MAX, Backoff

__all__ = ("RestartBackoff",)


class RestartBackoff(Backoff, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a child that exits again and again waits for its restart. Not in OTP, which restarts at once.

    The first restart is immediate. The second in a row waits `initial_s` seconds, each further one `factor` times as
    long, up to `max_s` seconds; `jitter` spreads the waits. The row ends when the child has been up for `reset_s`
    seconds.

    Raises:
        TypeError, ValueError: a value is no number, or out of its range.
    """

    max_s: float = 30.0
    reset_s: float = 60.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.reset_s, bool) or not isinstance(self.reset_s, int | float):
            raise TypeError(f"RestartBackoff(reset_s={self.reset_s!r}): write a number")
        if not 0 < self.reset_s <= FLOAT_MAX:
            raise ValueError(f"RestartBackoff(reset_s={self.reset_s!r}): write a number above 0")
