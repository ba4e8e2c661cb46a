"""`greenroom db verify`: finds damage in a store, and says what it leads to and what helps."""

from __future__ import annotations

from typing import Any

from ....persistence.maintenance.verify import Damage, Findings, error_of, verify_file
from ....persistence.migrations.version import SCHEMA_VERSION
from ..view.bars import bar
from ..view.output import AsJson, note, print_json, print_table
from ..view.target import Target, store_path

__all__ = ("verify",)

COLUMNS = ("table", "key", "address", "why")
LINES_MAX = 20
"""How many consequences and remedies are shown for one table; `--json` has them all."""


def verify(*, target: Target | None = None, as_json: AsJson = False) -> None:
    """Check the file's structure, every row's checksum, and that no commits are missing. Ends with 3 if not.

    Beside a running node it sees what is committed.

    For example:

        greenroom db verify

        greenroom db verify --store sqlite:////backups/bank-monday.db
    """
    path = store_path(target)
    with bar("verify") as (progress,):
        findings = verify_file(path, progress)
    if as_json:
        print_json({**_data(findings), "lost": _lost(findings)})
    else:
        _show(findings)
    if (error := error_of(findings, path)) is not None:
        raise error


def _lost(findings: Findings) -> dict[str, int]:
    loss = findings.loss
    return (
        {"commits": 0, "submissions": 0} if loss is None else {"commits": loss.commits, "submissions": loss.submissions}
    )


def _data(findings: Findings) -> dict[str, Any]:
    damaged = [damage._asdict() for damage in findings.damages if damage.table]
    structure = [damage._asdict() for damage in findings.damages if not damage.table]
    return {
        "schema_version": findings.schema_version,
        "rows": findings.rows,
        "count": findings.count,
        "structure": [{name: entry[name] for name in ("why", "effect", "remedy")} for entry in structure],
        "damaged": damaged,
    }


def _show(findings: Findings) -> None:
    if findings.schema_version != SCHEMA_VERSION:
        why = f"it has schema version {findings.schema_version}, not {SCHEMA_VERSION}"
        note(f"only the structure was checked: {why}. `greenroom db migrate` brings it up to date")
    if not findings.count:
        note(f"{findings.rows:,} rows, none is damaged")
        return
    print_table([_line(damage) for damage in findings.damages], COLUMNS, empty="")
    if len(findings.damages) < findings.count:
        note(f"only the first {len(findings.damages)} are shown")
    for kind, lines in _what_follows(findings).items():
        note(f"\n{kind}")
        for line in lines:
            note(f"  {line}")


def _line(damage: Damage) -> dict[str, Any]:
    return {**damage._asdict(), "table": damage.table or "(structure)", "key": ", ".join(damage.key)}


def _what_follows(findings: Findings) -> dict[str, list[str]]:
    """The consequences of each kind of damage, and the ways to mend it, each said once."""
    found: dict[str, list[str]] = {}
    for damage in findings.damages:
        lines = found.setdefault(damage.table or "the structure", [])
        for line in (damage.effect, f"to do: {damage.remedy}"):
            if line not in lines and len(lines) < LINES_MAX:
                lines.append(line)
    return found
