"""The errors of timers."""

from __future__ import annotations

from ...messages.errors import ActorError

__all__ = ("ExtraMissing", "TooManyTimers")


class TooManyTimers(ActorError):
    """The actor has as many timers as one may have."""

    def __init__(self, address: str, limit: int) -> None:
        self.address = address
        self.limit = limit
        super().__init__(
            f"{address} has {limit} timers already. `cancel` what isn't needed any more, or reuse names: scheduling a "
            "name again replaces its timer"
        )


class ExtraMissing(ActorError):
    """A part of greenroom that is installed on demand isn't."""

    def __init__(self, extra: str, wanted_by: str, package: str) -> None:
        self.extra = extra
        self.wanted_by = wanted_by
        self.package = package
        super().__init__(f"{wanted_by} takes {package}, which isn't installed. Run: pip install 'greenroom[{extra}]'")
