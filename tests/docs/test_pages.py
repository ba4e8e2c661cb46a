"""The pages: their links lead somewhere, the files that they name are there, and their English is plain."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from snippets import DOCS, ROOT

from greenroom.persistence import events

PAGES = sorted(
    [
        *(page for page in ROOT.glob("*.md")),
        *(page for page in DOCS.rglob("*.md")),
        *(page for page in (ROOT / "examples").rglob("*.md")),
    ]
)
SEMANTICS = sorted((DOCS / "semantics").glob("*.md"))
SEMANTICS_LINES_MAX = 120
INVENTED = {"tests/test_bank.py", "actors/extensions/notes", "tests/actors/extensions/notes"}
"""Files of an example: of the reader's own project, of a feature that there isn't."""

_FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
_FILE = re.compile(r"(?<![\w/.])(?:tests|actors|persistence|supervision|docs|examples)/[\w/*.-]*\w")
_SUBJECT_LAST = re.compile(r"(?:^|[.:] |\* |\| |- |# )(?:Who|Whose|Whoever|What) [a-z].*", re.MULTILINE)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """As GitHub derives them from the headings of a page."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page: Path) -> list[str]:
    text = _CODE.sub("", _FENCE.sub("", page.read_text(encoding="utf-8")))
    dead = []
    for link in _LINK.findall(text):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    return dead


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    assert dead_links(page) == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_files_that_a_page_names_are_there(page: Path) -> None:
    named = set(_FILE.findall(page.read_text(encoding="utf-8"))) - INVENTED
    assert [file for file in sorted(named) if not any(ROOT.glob(file))] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_sentences_begin_with_their_subject(page: Path) -> None:
    assert _SUBJECT_LAST.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("page", SEMANTICS, ids=name)
def test_a_page_of_the_contract_is_short_and_names_its_room_and_its_tests(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= SEMANTICS_LINES_MAX
    head = dict(line.strip("| ").split(" | ", 1) for line in lines[:7] if line.startswith(("| room |", "| tests |")))
    assert set(head) == {"room", "tests"}
    rooms = re.findall(r"`([^`]+)`", head["room"])
    assert rooms
    assert [room for room in rooms if "/" in room and not (ROOT / room).exists()] == []
    known = {file.name for file in (ROOT / "tests").rglob("test_*.py")}
    tests = re.findall(r"test_\w+\.py", head["tests"])
    assert tests or "tests/conformance/" in head["tests"]
    assert [test for test in tests if test not in known] == []


def test_each_page_of_the_contract_is_in_the_index() -> None:
    index = (DOCS / "runtime-semantics.md").read_text(encoding="utf-8")
    assert [page.name for page in SEMANTICS if f"(semantics/{page.name})" not in index] == []


def test_the_page_of_events_has_each_with_its_measures() -> None:
    table = re.findall(r"^\| ([a-z]+\.\w+) \|[^|]*\|([^|]*)\|$", events.__doc__ or "", re.MULTILINE)
    known = {event: re.findall(r"\w+", re.sub(r"\(.*?\)", "", measures)) for event, measures in table}
    assert set(known) == events.EVENTS
    page = (DOCS / "events.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z]+\.\w+)` \|.*\|([^|]*)\|$", page, re.MULTILINE)
    assert {event: re.findall(r"\w+", measures) for event, measures in rows} == known


# -- the rooms of docs/architecture.md ---------------------------------------------------------------------


def contracts() -> dict[str, list[str]]:
    """The floors of each layer of the code, the highest first, as import-linter holds them."""
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    found: list[dict[str, Any]] = tools["importlinter"]["contracts"]
    return {
        one["containers"][0].removeprefix("greenroom."): one["layers"]
        for one in found
        if one["type"] == "layers" and len(one.get("containers", ())) == 1
    }


@pytest.mark.parametrize("layer", contracts())
def test_the_page_has_each_room_on_its_floor(layer: str) -> None:
    layers = contracts()[layer]
    floors = {
        room.strip(): len(layers) - place for place, rooms in enumerate(layers) for room in re.split(r"[|:]", rooms)
    }
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    section = re.split(rf"^### {layer}\b.*$", page, flags=re.MULTILINE)[1].partition("\n#")[0]
    told = {
        room.removesuffix("/").removesuffix(".py"): int(floor)
        for floor, rooms in re.findall(r"^\| (\d+) \| ([^|]+) \|", section, re.MULTILINE)
        for room in re.findall(r"`([^`]+)`", rooms)
    }
    assert told == floors


# -- the tests above can fail ------------------------------------------------------------------------------


def test_a_dead_link_a_missing_file_and_a_late_subject_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A page\n\n[here](#a-page) [gone](gone.md) [nowhere](#elsewhere)\n")
    assert dead_links(page) == ["gone.md", "#elsewhere"]
    assert _FILE.findall("see `tests/docs/test_gone.py`.") == ["tests/docs/test_gone.py"]
    late = "Whoever waits is told."
    assert _SUBJECT_LAST.findall(f"It ends. {late}\n") == [f". {late}"]
    assert _SUBJECT_LAST.findall("- What it does\n") == ["- What it does"]
    assert _SUBJECT_LAST.findall("It says what it does. Who?\n") == []
