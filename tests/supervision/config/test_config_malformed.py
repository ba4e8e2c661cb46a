"""Config files with mistakes: each is named by file, key and fix."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from config_cases import ONE_PROBLEM
from config_samples import ROOT, SAMPLE, refused

from greenroom.supervision.config.load import load_tree


@pytest.mark.parametrize(("text", "message"), ONE_PROBLEM, ids=[message[:70] for _, message in ONE_PROBLEM])
def test_one_mistake_gives_its_file_its_key_and_its_fix(app: Path, text: str, message: str) -> None:
    Path("bank.toml").write_text(text)
    assert str(refused("bank.toml")) == "bank.toml: " + message.replace("{folder}", str(app))


def test_all_problems_of_a_file_are_reported_at_once_entry_by_entry(app: Path) -> None:
    broken = """
        [stroe]
        [node]
        hang_s = 0
        [supervisor]
        id = "bank"
        [[supervisor.children]]
        id = "ledger"
        actr = "bank:Ledger"
        restart = "permanant"
        args = { currency = "GBP" }
        [[supervisor.children]]
        id = "ledger"
        actor = "bank:Acount"
    """
    Path("bank.toml").write_text(broken)
    error = refused("bank.toml")
    assert [problem.key for problem in error.problems] == [
        "stroe",
        "node.hang_s",
        "supervisor.children[0]",
        "supervisor.children[0].restart",
        "supervisor.children[0].args.currency",
        "supervisor.children[1].id",
        "supervisor.children[1].actor",
    ]
    first, second, *_ = str(error).splitlines()
    assert first == "bank.toml: 7 problems"
    assert second == '  stroe: there is no such key. Did you mean "store"?'
    assert (error.file, error.key, error.hint) == ("bank.toml", "stroe", 'Did you mean "store"?')
    restart = error.problems[3]
    assert restart.found == "permanant"
    assert restart.expected == "one of permanent, transient, temporary"
    assert restart.hint == 'Did you mean "permanent"?'


def test_a_flood_of_problems_is_kept_but_not_all_shown(app: Path) -> None:
    Path("bank.toml").write_text(ROOT + "".join(f"x{n} = 1\n" for n in range(200)))
    error = refused("bank.toml")
    assert len(error.problems) == 200
    assert str(error).endswith("… and 150 more")


LEAST = 'The least there can be is {"supervisor": {"id": "app"}}.'
JSON_PROBLEMS = [
    ("", f"the file is empty. {LEAST}"),
    ("[]", f"found an empty array, expected a table. {LEAST}"),
    ("null", f"found null, expected a table. {LEAST}"),
    ('{"supervisor": 5}', 'supervisor: found 5, expected a table with "id"'),
    ('{"supervisor": {"id": "bank",}}', "line 1, column 30: this is no JSON: {comma}"),
    ('{\n  "supervisor": nil}', "line 2, column 17: this is no JSON: Expecting value"),
    ('{"supervisor": {"id": "a", "id": "b"}}', 'the key "id" stands twice in one object'),
    (
        '{"supervisor": {"id": "a", "": 1}}',
        (
            'supervisor."": there is no such key. There are auto_shutdown, children, '
            "id, intensity, max_children, partitions, period_s, restart, restart_backoff, shutdown, "
            "significant, strategy, strict, template."
        ),
    ),
    ("[" * 100_000, "it is nested too deeply"),
    ('{"supervisor": {"id": "a", "intensity": ' + "1" * 5000 + "}}", "it has a number of too many digits"),
]


@pytest.mark.parametrize(("text", "message"), JSON_PROBLEMS, ids=[message[:40] for _, message in JSON_PROBLEMS])
def test_json_is_refused_with_the_same_care(app: Path, text: str, message: str) -> None:
    Path("bank.json").write_text(text)
    wordings = (
        "Expecting property name enclosed in double quotes",
        "Illegal trailing comma before end of object",
    )
    expected = {"bank.json: " + message.replace("{comma}", wording) for wording in wordings}
    assert str(refused("bank.json")) in expected | {text.replace("column 30", "column 29") for text in expected}


def test_a_tree_that_never_ends_is_refused(app: Path) -> None:
    tree: dict[str, Any] = {"id": "s", "strategy": "one_for_one"}
    for _ in range(200):
        tree = {"id": "s", "children": [tree]}
    Path("bank.json").write_text(json.dumps({"supervisor": tree}))
    error = refused("bank.json")
    assert [problem.why for problem in error.problems] == ["more than 64 supervisors below each other"]


def test_a_missing_file_names_its_neighbour(app: Path) -> None:
    Path("bank.toml").write_text(SAMPLE)
    assert str(refused("bnak.toml")) == 'bnak.toml: there is no such file. Did you mean "bank.toml"?'
    assert str(refused("zzz.json")) == "zzz.json: there is no such file. `greenroom init` writes an example."
    assert str(refused("nowhere/bank.toml")) == (
        "nowhere/bank.toml: there is no such file. There is no folder nowhere either."
    )


def test_a_folder_is_no_file(app: Path) -> None:
    folder = app / "conf"
    folder.mkdir()
    assert str(refused("conf")) == "conf: this is a folder, expected a file"
    (folder / "bank.toml").write_text(SAMPLE)
    assert str(refused("conf")) == 'conf: this is a folder, expected a file. Did you mean "conf/bank.toml"?'


def test_other_formats_are_refused_by_name(app: Path) -> None:
    assert str(refused("bank.ini")) == 'bank.ini: found the ending ".ini", expected .toml, .json, .yaml or .yml'
    assert str(refused("bank")) == 'bank: found the ending "", expected .toml, .json, .yaml or .yml'
    assert str(refused("ba\0nk.toml")).endswith("it can't be read: embedded null byte")


def test_what_is_no_text_is_refused_with_its_place(app: Path) -> None:
    Path("bank.toml").write_bytes(b"[supervisor]\nid = \xff\n")
    assert str(refused("bank.toml")) == "bank.toml: line 2: it isn't UTF-8 text (byte 0xff at offset 18)"
    Path("bank.toml").write_bytes(b"\x00\x01\x02")
    assert "line 1, column 1: this is no TOML" in str(refused("bank.toml"))
    Path("bank.toml").write_bytes(b"#" * (16 * 2**20 + 1))
    assert str(refused("bank.toml")) == "bank.toml: it has more than 16 MiB"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(app: Path) -> None:
    os.mkfifo("bank.toml")
    assert str(refused("bank.toml")) == "bank.toml: this is no regular file"


def test_a_byte_order_mark_is_no_mistake(app: Path) -> None:
    Path("bank.toml").write_bytes(b"\xef\xbb\xbf" + SAMPLE.encode())
    assert load_tree("bank.toml", environ={}).id == "bank"
