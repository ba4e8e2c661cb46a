"""`greenroom check --against` and `--diff`: compare a config file and its code with a store."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from rich.table import Table

from ....persistence.engines.open import open_store
from ....persistence.engines.urls import sqlite_url
from ....persistence.errors import redacted
from ....persistence.runtime import Runtime
from ....persistence.store.contract import Store
from ...config.load import Config
from ...config.sections import store_url_from
from ...offline.tree_diff import TreeDiff, diff_tree
from ...offline.upgrade_check import Finding, Report, check_store
from ..exit_codes import ExitCode
from ..view.output import console, note, print_json, visible
from ..view.target import UsageWrong

__all__ = ("OPTIONAL", "check_against", "fill_in", "show_diff")

OPTIONAL = ("--against", "--diff")
"""Options that may stand without a value."""
CONFIGS = (".toml", ".json", ".yaml", ".yml")
WORDS = {
    "child": ("child", "children"),
    "actor": ("state",),
    "message": ("message",),
    "inbox": ("inbox row",),
    "timer": ("timer",),
    "dead_letter": ("dead letter",),
}
QUIET_S = 2.0
"""Seconds that a scan takes before it shows its progress."""
PLAIN_S = 5.0
LIVE_S = 0.25


def fill_in(arguments: Sequence[str]) -> list[str]:
    """The command line; an option without a value gets an empty one, which means the config file's own store."""
    found = list(arguments)
    if found[:1] != ["check"]:
        return found
    for place, word in enumerate(found):
        following = found[place + 1 : place + 2]
        if word in OPTIONAL and (not following or following[0].startswith("-")):
            found[place] = f"{word}="
    return found


def store_url(given: str, config: Config) -> str:
    """The URL of the store at a path or URL; an empty text means the config file's own store.

    Raises:
        UsageWrong: it is a config file, or a store that keeps nothing.
    """
    if Path(given).suffix in CONFIGS:
        raise UsageWrong(f"{given} is a config file: name it first, as in `greenroom check {given} {OPTIONAL[0]}`")
    url = given or config.store.url
    url = store_url_from(url, Path.cwd()) if "://" in url else sqlite_url(Path(url).absolute())
    if url.startswith("memory:"):
        raise UsageWrong(f"{url} keeps nothing to compare with. Name a store: {OPTIONAL[0]} bank.db")
    return url


@asynccontextmanager
async def _reading(url: str) -> AsyncIterator[Store]:
    store = open_store(url, Runtime())
    await store.open_reader()
    try:
        yield store
    finally:
        await store.close()


# -- --against ----------------------------------------------------------------------------------------------


async def check_against(config: Config, given: str, *, as_json: bool) -> ExitCode:
    """Show the rows of a store that the code can't read; `ExitCode.FAILED` if there are any."""
    url = store_url(given, config)
    line = _Line()
    async with _reading(url) as store:
        report = await check_store(store, config.tree, config.aliases, line.note)
    line.clear()
    if as_json:
        print_json({"store": redacted(url), **msgspec.to_builtins(report)})
    else:
        _print_report(report)
    return ExitCode.FAILED if report.problems else ExitCode.DONE


class _Line:
    """Shows on stderr how far a long scan is: a live line in a terminal, else a line every few seconds."""

    def __init__(self) -> None:
        self._runtime = Runtime()
        self._live = sys.stderr.isatty()
        self._last = self._runtime.monotonic() + QUIET_S
        self._shown = False

    def note(self, done: int, total: int) -> None:
        now = self._runtime.monotonic()
        if now < self._last:
            return
        self._last = now + (LIVE_S if self._live else PLAIN_S)
        text = f"{done:,} of {max(done, total):,} rows read"
        if self._live:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
            self._shown = True
        else:
            note(text)

    def clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")


def _print_report(report: Report) -> None:
    read = ", ".join(_count(count, *WORDS[table]) for table, count in report.rows.items() if count)
    if report.problems:
        _print_findings(report.problems)
    if report.remarks:
        note("remarks:")
        for finding in report.remarks:
            fix = f". {finding.fix}" if finding.fix else ""
            note(f"  {finding.count:,} {finding.what} at {finding.address}: {finding.why}{fix}")
    rows = f"rows read: {read or 'none, the store is empty'}"
    if report.problems:
        count = sum(finding.count for finding in report.problems)
        note(f"{rows}. This code can't read {count:,} of them")
    else:
        note(f"{rows}. This code reads all of them")


def _print_findings(findings: list[Finding]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("address", "what", "count", "why", "what to do", "example"):
        numbers = name == "count"
        table.add_column(name, justify="right" if numbers else "left", no_wrap=numbers, overflow="fold")
    for finding in findings:
        cells = (finding.address, finding.what, f"{finding.count:,}", finding.why, finding.fix, finding.example)
        table.add_row(*map(visible, cells))
    console().print(table)


# -- --diff ----------------------------------------------------------------------------------------------------


async def show_diff(config: Config, given: str, *, as_json: bool, exit_code: bool) -> ExitCode:
    """Show what a start with this config file would change; with `exit_code`, `ExitCode.FAILED` if
    there is anything."""
    url = store_url(given, config)
    async with _reading(url) as store:
        found = await diff_tree(store, config.tree, config.aliases)
    if as_json:
        print_json({"store": redacted(url), **msgspec.to_builtins(found)})
    else:
        _print_diff(found)
    return ExitCode.FAILED if exit_code and not found.is_empty else ExitCode.DONE


def _print_diff(found: TreeDiff) -> None:
    if not found.recorded:
        note("no run has left its children in this store yet: everything in the file would be new")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("change", "address", "what"):
        table.add_column(name, no_wrap=name == "change", overflow="fold")
    for change, address, what in _lines(found):
        table.add_row(change, visible(address), visible(what))
    if found.is_empty:
        note("nothing would change")
    else:
        console().print(table)
    note(_staying(found))


def _lines(found: TreeDiff) -> list[tuple[str, str, str]]:
    lines = [("new", child.address, _named(child.actor, child.below)) for child in found.new]
    lines += [("back", child.address, f"{_named(child.actor, 0)}, with the state that it left") for child in found.back]
    for left in found.left:
        kept = f"{_count(left.states, 'state')} and {_count(left.messages, 'message')} are kept"
        if left.address.count("/") == 1:
            what = f"isn't the root any more: it and its children are gone from the tree; {kept} in the store"
        else:
            below = f" (and {_count(left.below, 'child', 'children')} below it)" if left.below else ""
            what = f"stays, stopped{below}; {kept}. Delete it with `greenroom actors delete {left.address}`"
        lines.append(("left", left.address, what))
    for change in found.changed:
        where = change.address
        for key, (old, new) in change.fields.items():
            lines.append(("changed" if where else "", where, f"{key}: {_value(old)} -> {_value(new)}"))
            where = ""
    for order in found.reordered:
        lines.append(("order", order.supervisor, f"{', '.join(order.before)} -> {', '.join(order.after)}"))
    return lines


def _named(actor: str | None, below: int) -> str:
    what = actor or "supervisor"
    return f"{what} with {_count(below, 'child', 'children')}" if below else what


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def _value(value: Any) -> str:
    return "-" if value is None else msgspec.json.encode(value, enc_hook=str).decode()


def _staying(found: TreeDiff) -> str:
    parts = [_count(found.unchanged, "child stays as it is", "children stay as they are")]
    if found.started:
        parts.append(_count(found.started, "child that came by StartChild stays", "that came by StartChild stay"))
    if found.stopped:
        parts.append(f"stopped before, and still stopped: {', '.join(found.stopped)}")
    if found.left_before:
        parts.append(f"left before, and still there, stopped: {', '.join(found.left_before)}")
    return "; ".join(parts)
