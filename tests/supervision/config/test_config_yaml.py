"""Config files in YAML: read as YAML 1.2 has it, refused with the care that TOML gets."""

# ruff: noqa: E501 - a message stands as it is printed

from __future__ import annotations

import json
import math
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from config_cases import ONE_PROBLEM
from config_samples import SAMPLE, refused, sample_tree
from hypothesis import given
from hypothesis import strategies as st
from processes import run

from greenroom import ChildSpec, load_tree
from greenroom.supervision.config.load import load_config
from greenroom.supervision.config.syntax import SyntaxProblem
from greenroom.supervision.config.yaml_syntax import CHARACTERS_MAX, parse_yaml
from greenroom.supervision.spec.resolution import resolve_spec

SAMPLE_YAML = """\
store:
  url: sqlite:///bank.db         # relative to this file

supervisor:
  id: bank
  strategy: rest_for_one
  intensity: 3
  period_s: 5.0
  auto_shutdown: never
  children:
    - id: ledger
      actor: bank:Ledger
      args: {currency: EUR}
      restart: permanent
      shutdown: 5.0
      significant: false
    - id: accounts
      strategy: dynamic
      template: {id: account, actor: "bank:Account"}
      max_children: 100000
"""


@pytest.mark.parametrize("name", ["bank.yaml", "bank.yml", "bank.YAML"])
def test_yaml_gives_the_tree_that_toml_gives(app: Path, name: str) -> None:
    Path(name).write_text(SAMPLE_YAML)
    assert load_tree(name, environ={}) == sample_tree()
    Path("bank.toml").write_text(SAMPLE)
    same = [load_config(file, environ={}).effective() for file in ("bank.toml", name)]
    assert [(s.key, s.value) for s in same[0]] == [(s.key, s.value) for s in same[1]]


def test_dates_of_yaml_are_the_text_that_json_has(app: Path) -> None:
    Path("bank.yaml").write_text(SAMPLE_YAML.replace("currency: EUR", "since: 2026-01-02"))
    child = load_tree("bank.yaml", environ={}).children[0]
    assert isinstance(child, ChildSpec)
    assert child.args == {"since": "2026-01-02"}
    assert resolve_spec(child).kwargs()["since"].year == 2026


def test_an_alias_stands_for_a_whole_value(app: Path) -> None:
    text = SAMPLE_YAML.replace(
        "args: {currency: EUR}", "args: {currency: &money EUR}\n      backoff: &slow {factor: 3}"
    )
    text += "    - {id: second, actor: bank:Ledger, backoff: *slow, args: {currency: *money}}\n"
    Path("bank.yaml").write_text(text)
    first, _, second = load_tree("bank.yaml", environ={}).children
    assert isinstance(first, ChildSpec)
    assert isinstance(second, ChildSpec)
    assert (second.backoff, second.args) == (first.backoff, first.args) == ({"factor": 3}, {"currency": "EUR"})


SCALARS: list[tuple[str, Any]] = [
    # what YAML 1.1 would take for something else
    *((word, word) for word in ("no", "No", "on", "off", "yes", "y", "n", "NO")),
    *((word, word) for word in ("1:30", "190:20:30", "2026-01-02", "2026-01-02T03:04:05Z", "12:30:45", "=", "0b101")),
    ("010", 10),
    ("100_000", "100_000"),
    # the core schema
    *((word, None) for word in ("", "~", "null", "Null", "NULL")),
    *((word, True) for word in ("true", "True", "TRUE")),
    *((word, False) for word in ("false", "False", "FALSE")),
    *(("0", 0), ("-7", -7), ("+12", 12), ("0o14", 12), ("0xC", 12), ("0xfF", 255)),
    *(
        ("1.5", 1.5),
        ("-.5", -0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("+12e-1", 1.2),
        (".inf", math.inf),
        ("-.INF", -math.inf),
    ),
    *((word, word) for word in (".", "--", "+", "e3", "0x", "0o8", "1e", "-0x1", "..inf", "tRue", "nULL")),
    # quoted, it's text
    *((f'"{word}"', word) for word in ("1", "true", "null", "", "1.5")),
    ("'it''s'", "it's"),
    ("|\n  two\n  lines\n", "two\nlines\n"),
    (">-\n  one\n  line\n", "one line"),
]


@pytest.mark.parametrize(("text", "value"), SCALARS, ids=[repr(text) for text, _ in SCALARS])
def test_scalars_are_those_of_the_core_schema(text: str, value: Any) -> None:
    (found,) = parse_yaml(f"key: {text}").values()
    assert (found, type(found)) == (value, type(value))


def test_keys_are_texts() -> None:
    assert parse_yaml("{1: a, true: b, ~: c, no: d, 2026-01-02: e, '<<': f}") == {
        "1": "a",
        "true": "b",
        "~": "c",
        "no": "d",
        "2026-01-02": "e",
        "<<": "f",
    }


LEAST = "The least there can be is supervisor: {id: app}."
YAML_PROBLEMS = [
    # what there is
    ("", f"the file is empty. {LEAST}"),
    ("\n \n", f"the file is empty. {LEAST}"),
    ("# nothing yet\n", "it has nothing but comments"),
    ("---\n", f"found null, expected a table. {LEAST}"),
    ("- a\n- b\n", f"found an array, expected a table. {LEAST}"),
    ("just text\n", f'found "just text", expected a table. {LEAST}'),
    ("supervisor: {id: a}\n---\nsupervisor: {id: b}\n", "line 2, column 1: a second document begins here. A config file has one."),
    ("%YAML 1.1\n---\na: no\n", "line 1, column 1: the file asks for another version of YAML than 1.2. Leave %YAML out."),
    ("supervisor:\n", 'supervisor: found null, expected a table with "id"'),
    # syntax
    ("supervisor: {id: bank\n", "line 2, column 1: this is no YAML: expected ',' or '}', but got '<stream end>' while parsing a flow mapping"),
    ("supervisor: id: bank\n", "line 1, column 15: this is no YAML: mapping values are not allowed here"),
    ("supervisor:\n  id: bank\n children: []\n", "line 3, column 2: this is no YAML: expected <block end>, but found '<block mapping start>' while parsing a block mapping"),
    ("supervisor:\n\tid: bank\n", "line 2, column 1: this is no YAML: found character '\\t' that cannot start any token while scanning for the next token. Indent with spaces."),
    ('supervisor: {id: "ba\\qnk"}\n', "line 1, column 22: this is no YAML: found unknown escape character 'q' while scanning a double-quoted scalar"),
    ("supervisor: {id: @bank}\n", "line 1, column 18: this is no YAML: found character '@' that cannot start any token while scanning for the next token"),
    ("supervisor: {id: bank}\nsupervisor:\n  nothing: \x07\n", "line 3, column 12: this is no YAML: a character that no YAML has (U+0007)"),
    ('supervisor:\n  id: "\\UFFFFFFFF"\n', "after line 2, column 3: this is no YAML: an escape that names no character"),
    # keys
    ("supervisor:\n  id: a\n  strategy: dynamic\n  id: b\n", 'line 4, column 3: the key "id" stands twice in one table, first in line 2'),
    ("supervisor: {id: a, 'id': b}\n", 'line 1, column 21: the key "id" stands twice in one table, first in line 1'),
    ("supervisor:\n  ? [id]\n  : a\n", "line 2, column 5: a table or an array as a key"),
    ("supervisor:\n  id: &a id\n  *a : b\n", "line 3, column 3: an alias (*a) as a key"),
    ("supervisor:\n  &a id: b\n", "line 2, column 3: a key with an anchor"),
    ("base: &b {id: a}\nsupervisor:\n  <<: *b\n", "line 3, column 3: YAML 1.2 merges no tables (<<). Write its keys out; an alias may stand for a whole value."),
    # tags
    ("supervisor: !!python/object/apply:os.system [exit]\n", "line 1, column 13: tags aren't taken (!!python/object/apply:os.system). For a text, use quotes."),
    ("supervisor:\n  id: !!str 5\n", "line 2, column 7: tags aren't taken (!!str). For a text, use quotes."),
    ("supervisor:\n  !key id: 5\n", "line 2, column 3: tags aren't taken (!key). For a text, use quotes."),
    ("supervisor: ! 5\n", "line 1, column 13: tags aren't taken (!). For a text, use quotes."),
    # aliases
    ("supervisor: {id: *name}\n", "line 1, column 18: there is no anchor &name before this alias"),
    ("supervisor: &s {children: [*s]}\n", "line 1, column 28: the alias *s stands inside its own value"),
    # limits
    ("[" * 100_000, "line 1, column 201: it is nested too deeply"),
    ("- " * 100_000, "line 1, column 401: it is nested too deeply"),
    ("supervisor: {id: a, intensity: " + "1" * 5000 + "}", "line 1, column 32: a number of too many digits"),
    ("#" * (CHARACTERS_MAX + 1), "it has more than 1 MiB, too much for YAML. A TOML or JSON file may have more."),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), YAML_PROBLEMS, ids=[message[:70] for _, message in YAML_PROBLEMS])
def test_yaml_is_refused_with_the_same_care(app: Path, text: str, message: str) -> None:
    Path("bank.yaml").write_text(text)
    assert str(refused("bank.yaml")) == f"bank.yaml: {message}"


def in_toml() -> list[tuple[dict[str, Any], str]]:
    """The mistakes that aren't in the syntax of TOML."""
    found = []
    for text, message in ONE_PROBLEM:
        if text.strip() and "this is no TOML" not in message:
            found.append((tomllib.loads(text), message.partition(" In TOML: ")[0].removesuffix(".")))
    return found


@pytest.mark.parametrize(("content", "message"), in_toml(), ids=[message[:70] for _, message in in_toml()])
def test_a_mistake_in_yaml_gets_the_words_that_it_gets_in_toml(app: Path, content: Any, message: str) -> None:
    Path("bank.yaml").write_text(yaml.safe_dump(content))
    said = str(refused("bank.yaml")).removesuffix(".")
    assert said == "bank.yaml: " + message.replace("{folder}", str(app))


def laughs(levels: int, width: int) -> str:
    lines = ["a0: &a0 haha"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join([*lines, "supervisor: {id: bank}\n"])


def test_a_billion_laughs_end_early(app: Path) -> None:
    Path("bank.yaml").write_text(laughs(levels=30, width=10))
    assert str(refused("bank.yaml")) == (
        "bank.yaml: line 7, column 10: with its aliases written out it has more than 1 MiB"
    )
    assert len(parse_yaml(laughs(levels=5, width=10))) == 6


def test_a_long_text_may_not_be_repeated_for_ever() -> None:
    text = f"a: &a {'x' * 10_000}\nb: [{'*a, ' * 200}]\n"
    with pytest.raises(SyntaxProblem, match="with its aliases written out"):
        parse_yaml(text)
    assert len(parse_yaml(text.replace("*a, " * 200, "*a, " * 50))["b"]) == 50


def test_what_is_no_text_is_no_yaml(app: Path) -> None:
    Path("bank.yaml").write_bytes(b"supervisor:\n  id: \xff\n")
    assert str(refused("bank.yaml")) == "bank.yaml: line 2: it isn't UTF-8 text (byte 0xff at offset 18)"
    Path("bank.yaml").write_bytes(bytes(range(128)))
    assert str(refused("bank.yaml")) == (
        "bank.yaml: line 1, column 1: this is no YAML: a character that no YAML has (U+0000)"
    )


@pytest.mark.process
def test_without_the_extra_it_says_what_to_install(app: Path) -> None:
    Path("bank.yaml").write_text(SAMPLE_YAML)
    script = (
        "import sys\n"
        "sys.modules['yaml'] = None  # as if it weren't installed\n"
        "from greenroom import ConfigError, load_tree\n"
        "try:\n"
        "    load_tree('bank.yaml')\n"
        "except ConfigError as error:\n"
        "    print(error)\n"
    )
    done = run([sys.executable, "-c", script], check=True)
    assert done.stdout == (
        "bank.yaml: YAML takes a library that isn't installed. "
        "Run: pip install 'greenroom[yaml]'. Or write it as TOML (.toml) or JSON (.json).\n"
    )


@pytest.mark.process
def test_nobody_pays_for_yaml_who_has_none() -> None:
    script = "import sys, greenroom, greenroom.supervision.cli.app; print('yaml' in sys.modules)"
    done = run([sys.executable, "-c", script], check=True)
    assert done.stdout == "False\n"


PIECES = st.sampled_from(
    [
        *("a", "b: ", "- ", "? ", ": ", "\n", "  ", "\t", "&a ", "*a", "!t ", "!!str ", "|", ">-", "'", '"', "\\"),
        *("{", "}", "[", "]", ",", "#", "%", "---\n", "...\n", "%YAML 1.2\n", "<<", "1", ".inf", "~"),
        *("\\U00110000", "\x85", "\ufeff", "\x00"),
    ]
)


@given(pieces=st.lists(PIECES, max_size=30))
def test_any_text_is_data_or_a_syntax_problem(pieces: list[str]) -> None:
    try:
        parse_yaml("".join(pieces))
    except SyntaxProblem as problem:
        assert problem.why


TEXTS = st.text(st.characters(codec="utf-8", categories=("L", "M", "N", "P", "S")), max_size=20)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)


@given(data=PLAIN)
def test_json_is_yaml(data: Any) -> None:
    """YAML 1.2.2, chapter 1.3: every JSON file is a YAML file."""
    assert parse_yaml(json.dumps(data, ensure_ascii=False, indent=1)) == data
