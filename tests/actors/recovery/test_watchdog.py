"""The watchdog ends a process whose loop stands still, and not one that was itself frozen."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from greenroom.actors.recovery.watchdog import BEATS, Watchdog
from greenroom.persistence.runtime import Runtime

HANG_S = 4.0
NAP_S = HANG_S / BEATS


class Clock(Runtime):
    """Moved by each nap of the watchdog's thread."""

    at = 100.0

    def monotonic(self) -> float:  # type: ignore[override]
        return self.at


class Naps(threading.Event):
    """Each wait takes so many seconds of the clock; behind the last one the watchdog is stopped."""

    def __init__(self, clock: Clock, naps: list[float], beat: Any) -> None:
        super().__init__()
        self.clock, self.naps, self.beat = clock, naps, beat

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout == NAP_S
        if not self.naps:
            return True
        self.clock.at += self.naps.pop(0)
        self.beat()
        return False


class Kernel:
    class committer:  # noqa: N801
        class pace:  # noqa: N801
            on_loop = False


def ends(naps: list[float], *, beats_until: int = 0, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """After how many seconds without a beat the process is ended, if the loop beats with the first naps alone."""
    clock, ended, left = Clock(), [], beats_until
    kernel: Any = Kernel()
    kernel.runtime = clock
    watchdog = Watchdog(kernel, HANG_S)

    def beat() -> None:
        nonlocal left
        if left:
            left -= 1
            watchdog._beat = clock.at

    watchdog._stopped = Naps(clock, naps, beat)
    monkeypatch.setattr(watchdog, "_end", ended.append)
    watchdog._watch()
    return ended


def test_a_loop_that_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ends([NAP_S] * 5, monkeypatch=monkeypatch) == [5 * NAP_S]


@pytest.mark.parametrize("frozen_s", [HANG_S + 1, 10 * HANG_S, 1e6])
@pytest.mark.parametrize("beats", [0, 2])
def test_a_process_that_was_frozen(monkeypatch: pytest.MonkeyPatch, frozen_s: float, beats: int) -> None:
    """The thread wakes first, before the loop has had a chance to beat; the loop gets its whole time from then on."""
    naps = [NAP_S] * 2 + [frozen_s] + [NAP_S] * 3
    assert ends(naps, beats_until=beats, monkeypatch=monkeypatch) == []


def test_a_loop_that_stands_still_after_a_freeze(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ends([NAP_S, 50 * HANG_S] + [NAP_S] * 5, beats_until=1, monkeypatch=monkeypatch) == [5 * NAP_S]


def test_a_thread_that_is_a_little_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine: no excuse for a loop that stands still."""
    assert ends([1.5 * NAP_S] * 3, monkeypatch=monkeypatch) == [4.5 * NAP_S]
