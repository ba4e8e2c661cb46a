"""docs/otp-conformance.md has every test of the suite, and no other."""

from __future__ import annotations

import re

from mutations import ROOT, suite

PAGE = ROOT / "docs" / "otp-conformance.md"
NAME = re.compile(r"`(test_\w+)`")


def rows() -> list[list[str]]:
    """The rows of the tables of behaviours: behaviour, OTP's rule, ours, tests."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [row for row in cells if len(row) == 4 and row[0] != "behaviour" and not set(row[0]) <= set("- ")]


def test_every_row_names_tests_that_exist() -> None:
    known = suite()
    assert len(rows()) >= 60
    for row in rows():
        named = NAME.findall(row[3])
        assert named, f"{row[0]} names no test"
        assert set(named) <= set(known), row[0]
        assert all(row), row[0]


def test_every_test_of_the_suite_is_in_the_table() -> None:
    named = [name for row in rows() for name in NAME.findall(row[3])]
    assert set(suite()) == set(named)
    assert len(named) == len(set(named)), "each of them in one row"
