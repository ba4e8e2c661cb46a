"""Throughput, latency and growth beside floors, and beside peers, measured in the same run on two cores: `make bench`.

Every figure is the median of the rounds; floors, peers and ours take turns, so that a machine whose speed drifts
distorts all of them alike. Ratios are what counts, absolute figures are information. Goals that are absolute were set
on a machine on which the bare deque with a future answers 169,000 asks a second: on a slower one, or in a slow hour,
they are scaled by what it answers in this run. The exit code is 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import tempfile
import traceback
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from environments import PeerFailed
from machine import facts, take_cores
from measures import MEASURES, Scale
from report import Report, draw_plots
from rich.console import Console
from rows import Goals, Row, number
from sections import SECTIONS, Section

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "performance.md"
PLOTS = ROOT / "docs" / "plots"
YARDSTICK = "bare deque and future"
"""The measure by which absolute goals are scaled: part of every run."""

EXAMPLES = f"""
sections: {", ".join(section.name for section in SECTIONS)}

examples:
  make bench                                          # the essentials, about two minutes
  make bench ARGS="--only tellers,ring --rounds 5"    # two sections, more rounds
  make bench ARGS="--peers"                           # and the peers, installed under .venv-peers/ the first time
  make bench ARGS="--plots"                           # and growth of costs, drawn into docs/plots/
  make bench ARGS="--all --docs"                      # everything, and the tables of docs/performance.md
  make bench ARGS="--only clients --json"             # one JSON object: rows, medians, samples
"""


class Run(NamedTuple):
    samples: dict[str, list[float]]
    failures: dict[str, str]
    """By measures, and why."""
    broken: set[str]
    """Those of them that are no peer's."""


def main() -> int:
    options = _options()
    wide = None if sys.stdout.isatty() else 170
    console = Console(stderr=options.json, width=wide)
    sections = _chosen(options)
    cores = take_cores(options.cores)
    scale = Scale(options.messages)
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="bench") as name:
        machine = facts(Path(name), cores)
        run = _measure(Path(name), sections, scale, options.rounds, console)
    middle = {part: statistics.median(values) for part, values in run.samples.items()}
    asks = middle.get("bare ask")
    if asks is not None:
        machine += f", {asks:,.0f} asks/s of the bare deque with a future"
    report = Report(machine, options.rounds, _tables(sections, middle, Goals(asks), scale, run.broken), run.failures)
    if any(section.name == "plots" for section in sections):
        for path in draw_plots(middle, options.plots_folder):
            console.print(f"drawn: {path}", highlight=False)
    if options.docs:
        report.write(PAGE)
    if options.json:
        tables = report.tables.items()
        rows = [{**row._asdict(), "ratio": row.ratio, "table": title} for title, table in tables for row in table]
        found = {"machine": machine, "rows": rows, "median": middle}
        print(json.dumps({**found, "samples": run.samples, "failures": run.failures}))
    else:
        report.show(console)
    return 1 if report.missed or run.broken else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench.py", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=100_000, help="durable messages a round (default 100,000)")
    parser.add_argument("--rounds", type=int, default=3, help="default 3; growth and the backlog are measured once")
    parser.add_argument("--only", metavar="NAMES", help="these sections alone, with commas between")
    parser.add_argument("--peers", action="store_true", help="other actor frameworks and durable queues, too")
    parser.add_argument("--plots", action="store_true", help="growth of costs, too, drawn as SVG")
    parser.add_argument("--backlog", action="store_true", help="ten times as many messages that wait, and memory, too")
    parser.add_argument("--all", action="store_true", help="every section")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/performance.md")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--cores", type=int, default=2, help="CPU cores that the run may use (default 2)")
    parser.add_argument("--folder", help="where the databases go: the disk to measure (default: a temporary folder)")
    parser.add_argument("--plots-folder", type=Path, default=PLOTS, help="where the plots go (default docs/plots)")
    options = parser.parse_args()
    if options.messages < 1_000 or options.rounds < 1 or options.cores < 1:
        parser.error("--messages is at least 1000, --rounds and --cores at least 1")
    known = {section.name for section in SECTIONS}
    if options.only and (unknown := set(options.only.split(",")) - known):
        parser.error(f"--only {','.join(sorted(unknown))}: the sections are {', '.join(sorted(known))}")
    if options.docs and options.only:
        parser.error("--docs: the page's tables are of one run, so leave out --only")
    return options


def _chosen(options: argparse.Namespace) -> list[Section]:
    if options.only:
        names = options.only.split(",")
        return [section for section in SECTIONS if section.name in names]
    flags = {flag for flag in ("peers", "plots", "backlog") if options.all or getattr(options, flag)}
    return [section for section in SECTIONS if not section.option or section.option in flags]


def _measure(folder: Path, sections: list[Section], scale: Scale, rounds: int, console: Console) -> Run:
    needed = {YARDSTICK, *(name for section in sections for name in section.measures)}
    run = Run({}, {}, set())
    for number_ in range(rounds):
        for name, measure in MEASURES.items():
            if name not in needed or name in run.failures or (measure.once and number_):
                continue
            console.print(f"round {number_ + 1} of {rounds}: {name} …", end=" ", highlight=False)
            began = perf_counter()
            gc.collect()
            with tempfile.TemporaryDirectory(dir=folder) as place:
                try:
                    figures = measure.run(Path(place), scale)
                except Exception as error:  # one that fails must not take an hour's figures with it
                    run.failures[name] = str(error) or repr(error)
                    console.print(f"not measured: {error!r}", highlight=False, markup=False)
                    if not isinstance(error, PeerFailed):
                        traceback.print_exc()
                        run.broken.add(name)
                    continue
            for part, value in figures.items():
                run.samples.setdefault(part, []).append(value)
            shown = "  ".join(f"{part} {number(value)}" for part, value in figures.items() if not _is_point(part))
            console.print(f"{shown}  ({perf_counter() - began:.1f} s)".strip(), highlight=False, markup=False)
    return run


def _is_point(part: str) -> bool:
    """Whether a figure is one of a curve's: messages/1000."""
    return part.rpartition("/")[2].isdigit()


def _tables(
    sections: list[Section], middle: dict[str, float], goals: Goals, scale: Scale, broken: set[str]
) -> dict[str, list[Row]]:
    tables: dict[str, list[Row]] = {}
    for section in sections:
        if broken.isdisjoint(section.measures):
            tables.setdefault(section.title, []).extend(section.rows(middle, goals, scale))
    return tables


if __name__ == "__main__":
    sys.exit(main())
