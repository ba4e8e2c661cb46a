"""The benchmarks run, with tiny sizes: what they find doesn't count here, only that they find it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parent

EXPECTED = {
    "tellers": ("64 awaiting tellers → 100 durable actors", "the same"),
    "bulk": ("told in bulk",),
    "turns": ("told in turns, 100 messages a turn", "the same"),
    "ring": ("ring of 100 durable actors",),
    "single": ("one awaited tell, p50",),
    "memory": ("tell", "ask"),
    "restarts": ("restart in memory, p50", "restart, durable with state, p50"),
    "children": ("start and stop 200 children",),
    "clients": (
        "ask, p50",
        "ask, p99",
        "tell, p50",
        "ask, p50, 4 clients at once",
        "ask, p99, 4 clients at once",
        "tell, p50, 4 clients at once",
    ),
    "convoy": tuple(
        f"beside bursts of {load}{path}"
        for path in ("", ", commits in the thread", ", by hand")
        for load in ("2 ms in 33% of the time", "1 ms without end", "5 ms without end", "2 ms without end in one turn")
        if not (path == ", by hand" and "one turn" in load)
    ),
}


def bench(tmp_path: Path, *options: str) -> dict[str, Any]:
    command = [sys.executable, str(BENCHMARKS / "bench.py"), "--messages", "2000", "--rounds", "1", "--json"]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path), *options], capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode in (0, 1), done.stderr  # 1: a goal is missed, as it may be on a busy machine
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def in_benchmarks(program: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=BENCHMARKS,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "sections", ["tellers,bulk,turns,ring,single", "memory,restarts,children", "clients", "convoy"]
)
def test_a_section_has_its_rows(tmp_path: Path, sections: str) -> None:
    found = bench(tmp_path, "--only", sections)
    assert [row["what"] for row in found["rows"]] == [what for name in sections.split(",") for what in EXPECTED[name]]
    assert all(row["ours"] > 0 for row in found["rows"])
    assert all((row["met"] is None) == (not row["goal"]) for row in found["rows"])
    assert not found["failures"]


def test_growth_is_measured_and_drawn(tmp_path: Path) -> None:
    found = bench(tmp_path, "--messages", "1000", "--only", "plots", "--plots-folder", str(tmp_path / "plots"))
    assert len(found["rows"]) == 5
    plots = list((tmp_path / "plots").iterdir())
    assert sorted(plot.name for plot in plots) == ["actors.svg", "bodies.svg", "messages.svg", "states.svg"]
    assert all("<svg" in plot.read_text() and "<dc:date>" not in plot.read_text() for plot in plots)


def test_a_peer_that_is_not_there_is_reported(tmp_path: Path) -> None:
    in_benchmarks(
        """
import sys
from pathlib import Path
from environments import PEERS, PeerFailed, run

for peer in PEERS:
    assert (Path("peers") / peer.adapter).exists(), peer
    try:
        run(peer, Path(sys.argv[1]), tells=1, asks=1, messages=1, python=sys.executable)
    except PeerFailed as failure:
        assert peer.name in str(failure) and "No module named" in str(failure), failure
    else:
        raise AssertionError(peer)
""",
        str(tmp_path),
    )


def test_the_figures_go_into_the_page_and_nowhere_else(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "performance.md"
    (tmp_path / "page.md").write_text(page.read_text())
    in_benchmarks(
        """
import sys
from pathlib import Path
from report import Report
from rows import Goals

row = Goals(169_000).at_least(0.5, "told", "msg/s", "floor", 30_000, 12_000, "a note")
Report("a machine", 3, {"A table": [row]}, {"a peer": "gone"}).write(Path(sys.argv[1]))
""",
        str(tmp_path / "page.md"),
    )
    found = (tmp_path / "page.md").read_text()
    assert "| told | msg/s | floor | 30,000 | 12,000 | 0.40 | ratio ≥ 0.5 | missed | a note |" in found
    assert "Not measured: a peer: gone" in found
    assert found.partition("<!-- figures")[0] == page.read_text().partition("<!-- figures")[0]
    assert found.partition("of the figures -->")[2] == page.read_text().partition("of the figures -->")[2]
