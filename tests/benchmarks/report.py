"""The report of a run: tables on the terminal, the same in Markdown for docs/performance.md, plots."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from plots import Curve, Plot, draw
from rich.console import Console
from rich.table import Table
from rows import Medians, Row, number
from sections import series

__all__ = ("Report", "draw_plots")

BEGIN = '<!-- figures: `make bench ARGS="--all --docs"` writes what stands between these two comments -->'
END = "<!-- end of the figures -->"
COLUMNS = ("what", "unit", "beside", "theirs", "ours", "ratio", "goal", "", "note")


class Report(NamedTuple):
    machine: str
    """The facts that the figures depend on."""
    rounds: int
    tables: dict[str, list[Row]]
    """By their titles."""
    failures: dict[str, str]
    """The measures that couldn't be taken, and why."""

    @property
    def rows(self) -> list[Row]:
        return [row for rows in self.tables.values() for row in rows]

    @property
    def missed(self) -> int:
        return sum(row.met is False for row in self.rows)

    def show(self, console: Console) -> None:
        for title, rows in self.tables.items():
            table = Table(title=title.replace("`", ""), title_justify="left")
            for name in COLUMNS:
                table.add_column(name, justify="right" if name in ("theirs", "ours", "ratio") else "left")
            for row in rows:
                table.add_row(*_cells(row))
            console.print(table)
        for name, why in self.failures.items():
            console.print(f"not measured: {name}: {why}", highlight=False, markup=False)
        goals = sum(row.met is not None for row in self.rows)
        console.print(f"{self.machine}. Medians of {self.rounds} rounds. Goals met: {goals - self.missed} of {goals}.")

    def markdown(self) -> Iterator[str]:
        yield f"One run, medians of {self.rounds} rounds, {self.machine}."
        for title, rows in self.tables.items():
            noted = any(row.note for row in rows)
            columns = COLUMNS if noted else COLUMNS[:-1]
            yield ""
            yield f"**{title}**"
            yield ""
            yield "| " + " | ".join(columns) + " |"
            yield "| " + " | ".join("---" for _ in columns) + " |"
            for row in rows:
                yield "| " + " | ".join(_cells(row)[: len(columns)]) + " |"
        for name, why in self.failures.items():
            yield ""
            yield f"Not measured: {name}: {why}"

    def write(self, page: Path) -> None:
        """Into a page, between its two comments.

        Raises:
            LookupError: the page hasn't got them.
        """
        before, begin, rest = page.read_text().partition(BEGIN)
        _, end, after = rest.partition(END)
        if not (begin and end):
            raise LookupError(f"{page} has no place for the figures: write\n{BEGIN}\n{END}")
        page.write_text("\n".join((before + begin, "", *self.markdown(), "", end + after)))


def _cells(row: Row) -> list[str]:
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    return [row.what, row.unit, row.beside, number(row.floor), number(row.ours), ratio, row.goal, row.verdict, row.note]


def draw_plots(m: Medians, folder: Path) -> list[Path]:
    """The plots of the points that were measured."""
    each = "µs a message"
    plots = (
        Plot("messages.svg", "Cost of a message by the number of messages", "messages told in bulk", each, [
            Curve("greenroom", series(m, "messages")),
            Curve("plain sqlite3, insert and delete by 64", series(m, "messages by hand")),
        ], 0),
        Plot("actors.svg", "Cost by the number of actors", "actors", "µs", [
            Curve("a message, told to each in turn", series(m, "actors")),
            Curve("start and stop of an actor", series(m, "starts")),
        ], 0),
        Plot("bodies.svg", "Cost of a message by the size of its body", "bytes of the body", each, [
            Curve("greenroom: written, handled, deleted", series(m, "bodies")),
            Curve("plain sqlite3, insert and delete by 64", series(m, "bodies by hand")),
        ], 1),
        Plot("states.svg", "Cost of a message by the size of the state it changes", "bytes of the state", each, [
            Curve("greenroom", series(m, "states")),
            Curve("encode and decode alone", series(m, "states by hand")),
        ], 1),
    )  # fmt: skip
    drawn = []
    for plot in plots:
        curves = [
            curve._replace(points={size: seconds * 1e6 for size, seconds in curve.points.items()})
            for curve in plot.curves
            if curve.points
        ]
        if curves:
            drawn.append(draw(plot._replace(curves=curves), folder))
    return drawn
