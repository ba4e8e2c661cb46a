"""Config files that are right: imports, precedence, the schema, and the tree that they say."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from config_samples import LEDGER, ROOT, SAMPLE, refused, sample_tree
from processes import run

from greenroom.persistence.engines.urls import locate
from greenroom.supervision.config.load import Setting, config_schema, load_config, load_tree
from greenroom.supervision.spec.resolution import resolve_spec
from greenroom.supervision.spec.spec import ChildSpec, SupervisorSpec, to_config

# -- imports ------------------------------------------------------------------------------------------------


def actor_at(reference: str) -> str:
    return f'{ROOT}[[supervisor.children]]\nid = "x"\nactor = "{reference}"\n'


def test_an_import_that_raises_shows_the_end_of_its_traceback(app: Path) -> None:
    Path("shop.py").write_text("def price():\n    return 1 / 0\n\n\nprice()\n")
    Path("shop.toml").write_text(actor_at("shop:Till"))
    text = str(refused("shop.toml"))
    unmarked = "\n".join(line for line in text.splitlines() if line.strip(" ~^"))  # these vary with Python
    assert unmarked == (
        'shop.toml: supervisor.children[0].actor: "shop:Till": importing "shop" raised ZeroDivisionError:\n'
        f'      File "{app}/shop.py", line 5, in <module>\n'
        "        price()\n"
        f'      File "{app}/shop.py", line 2, in price\n'
        "        return 1 / 0\n"
        "    ZeroDivisionError: division by zero"
    )


@pytest.mark.parametrize(
    ("code", "end"),
    [
        (
            "import nosuchlib",
            "ModuleNotFoundError: No module named 'nosuchlib'. Is \"nosuchlib\" installed in {prefix}?",
        ),
        ("class Till(", "SyntaxError: '(' was never closed"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        (
            "from greenroom.actors.actor import Actor\nclass Till(Actor[None]):\n    max_attempts = 0",
            "TypeError: Till: max_attempts = 0: write a whole number of at least 1",
        ),
    ],
)
def test_whatever_an_import_raises_is_a_problem_of_the_file(app: Path, code: str, end: str) -> None:
    Path("shop.py").write_text(code + "\n")
    Path("shop.toml").write_text(actor_at("shop:Till"))
    assert str(refused("shop.toml")).endswith(end.format(prefix=sys.prefix))


def test_a_long_traceback_is_cut_to_its_end(app: Path) -> None:
    Path("shop.py").write_text("def f(n):\n    f2(n)\ndef f2(n):\n    1 / n if n < 1 else f(n - 1)\nf(20)\n")
    Path("shop.toml").write_text(actor_at("shop:Till"))
    lines = str(refused("shop.toml")).splitlines()
    assert len(lines) <= 14
    assert lines[1].strip() == "…"


def test_classes_come_from_the_files_folder_before_all_others(app: Path) -> None:
    (app / "conf").mkdir()
    (app / "conf" / "bank.py").write_text((app / "bank.py").read_text())
    Path("conf/bank.toml").write_text(SAMPLE)
    sys.path.insert(0, str(app))
    tree = load_tree("conf/bank.toml", environ={})
    child = tree.children[0]
    assert isinstance(child, ChildSpec)
    assert sys.modules[resolve_spec(child).cls.__module__].__file__ == str(app / "conf" / "bank.py")
    assert sys.path[-1] == str(app / "conf"), "the folder stays importable, behind the rest"
    assert sys.path.count(str(app / "conf")) == 1


def test_a_module_of_the_same_name_from_elsewhere_is_no_substitute(app: Path) -> None:
    for folder in ("one", "two"):
        (app / folder).mkdir()
        (app / folder / "bank.py").write_text((app / "bank.py").read_text())
        (app / folder / "bank.toml").write_text(ROOT + LEDGER)
    load_tree("one/bank.toml", environ={})
    assert str(refused("two/bank.toml")) == (
        'two/bank.toml: supervisor.children[0].actor: "bank:Ledger": another module "bank" is loaded '
        f"already, from {app}/one/bank.py. Rename {app}/two/bank.py, or load one of them."
    )


@pytest.mark.process
def test_the_running_script_is_not_imported_a_second_time(app: Path) -> None:
    Path("bank.toml").write_text(ROOT + LEDGER)
    with Path("bank.py").open("a") as script:
        script.write(
            "\nif __name__ == '__main__':\n"
            "    import sys\n"
            "    from greenroom.supervision.config.load import load_tree\n"
            "    from greenroom.supervision.spec.resolution import resolve_spec\n"
            "    from greenroom.supervision.spec.spec import ChildSpec\n"
            "    spec = load_tree('bank.toml').children[0]\n"
            "    assert resolve_spec(spec).cls is Ledger\n"
            "    assert 'bank' not in sys.modules\n"
            "    assert spec == ChildSpec(id='ledger', actor=Ledger)\n"
            "    print(spec.actor)\n"
        )
    done = run([sys.executable, "bank.py"], cwd=app)
    assert (done.stdout, done.stderr) == ("bank:Ledger\n", "")


# -- what is right ------------------------------------------------------------------------------------------


def test_toml_json_and_code_give_the_same_tree(app: Path) -> None:
    Path("bank.toml").write_text(SAMPLE)
    assert load_tree("bank.toml", environ={}) == sample_tree()
    Path("bank.json").write_text(json.dumps({"$schema": "greenroom.json", "supervisor": to_config(sample_tree())}))
    assert load_tree("bank.json", environ={}) == sample_tree()


def test_dates_of_toml_are_the_text_that_json_has(app: Path) -> None:
    Path("bank.toml").write_text(ROOT + LEDGER + "args = { since = 2026-01-02 }\n")
    (child,) = load_tree("bank.toml", environ={}).children
    assert isinstance(child, ChildSpec)
    assert child.args == {"since": "2026-01-02"}
    assert resolve_spec(child).kwargs()["since"].year == 2026


def test_flag_beats_environment_beats_file_beats_default(app: Path) -> None:
    Path("bank.toml").write_text("[node]\nhang_s = 1.0\nrespawn_intensity = 1\nstop_timeout_s = 1.0\n" + ROOT)
    config = load_config(
        "bank.toml",
        environ={
            "GREENROOM_NODE__HANG_S": "2",
            "GREENROOM_NODE__RESPAWN_INTENSITY": "2",
            "GREENROOM_LOG": "x",
        },
        overrides={"node.hang_s": "3.5", "node.stop_timeout_s": None},
    )
    origins = {setting.key: (setting.value, setting.origin) for setting in config.effective()}
    assert origins["node.hang_s"] == (3.5, "flag")
    assert origins["node.respawn_intensity"] == (2, "environment GREENROOM_NODE__RESPAWN_INTENSITY")
    assert origins["node.stop_timeout_s"] == (1.0, "file bank.toml")
    assert origins["node.respawn_period_s"] == (60.0, "default")
    assert (config.node.hang_s, config.node.respawn_intensity) == (3.5, 2)


def test_environment_sets_the_root_and_texts_stay_texts(app: Path) -> None:
    Path("bank.toml").write_text(ROOT)
    environ = {
        "GREENROOM_SUPERVISOR__ID": "5",
        "GREENROOM_SUPERVISOR__SHUTDOWN": "5",
        "GREENROOM_SUPERVISOR__STRATEGY": "one_for_all",
        "GREENROOM_SUPERVISOR__INTENSITY": "0",
    }
    tree = load_tree("bank.toml", environ=environ)
    assert (tree.id, tree.shutdown, tree.strategy, tree.intensity) == ("5", 5, "one_for_all", 0)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (
            {"GREENROOM_NODE__HANGS": "1"},
            'GREENROOM_NODE__HANGS: this variable sets nothing. Did you mean "GREENROOM_NODE__HANG_S"?',
        ),
        (
            {"GREENROOM_A__B": "1"},
            ("GREENROOM_A__B: this variable sets nothing. Only [store], [node] and the root supervisor can be set so."),
        ),
        (
            {"GREENROOM_SUPERVISOR__INTENSITY": "many"},
            'GREENROOM_SUPERVISOR__INTENSITY: found "many", expected a whole number of at least 0',
        ),
        (
            {"GREENROOM_NODE__HANG_S": "[1]"},
            'GREENROOM_NODE__HANG_S: found "[1]", expected a number of seconds above 0',
        ),
    ],
)
def test_mistakes_in_the_environment_name_the_variable(app: Path, environ: dict[str, str], message: str) -> None:
    Path("bank.toml").write_text(ROOT)
    assert str(refused("bank.toml", environ=environ)) == message


def test_mistakes_in_flags_name_the_flag(app: Path) -> None:
    Path("bank.toml").write_text(ROOT)
    assert str(refused("bank.toml", overrides={"node.hang_s": -1})) == (
        "flag node.hang_s: found -1, expected a number of seconds above 0"
    )
    assert str(refused("bank.toml", overrides={"node.hang": 1})) == (
        'flag node.hang: this flag sets nothing. Did you mean "node.hang_s"?'
    )


def test_the_path_of_a_store_is_relative_to_its_file_or_to_its_shell(app: Path) -> None:
    (app / "conf").mkdir()
    path = app / "conf" / "bank.toml"

    def url(text: str, **options: Any) -> str:
        path.write_text(ROOT + (f'[store]\nurl = "{text}"\n' if text else ""))
        return load_config(path, environ=options.pop("environ", {}), **options).store.url

    assert url("sqlite:///bank.db") == f"sqlite:///{app}/conf/bank.db"
    assert url("sqlite:///data/bank.db?synchronous=full") == f"sqlite:///{app}/conf/data/bank.db?synchronous=full"
    assert url("") == f"sqlite:///{app}/conf/greenroom.db"
    assert url("", environ={"GREENROOM_STORE__URL": "sqlite:///bank.db"}) == f"sqlite:///{app}/bank.db"
    assert url("", overrides={"store.url": "sqlite:///bank.db"}) == f"sqlite:///{app}/bank.db"
    for kept in ("sqlite:////srv/bank.db", "memory://"):
        assert url(kept) == kept


@pytest.mark.parametrize("folder", ["what?", "50%", "%41", "#1", "a b", "süß"])
def test_the_folder_of_a_file_may_have_any_name(app: Path, folder: str) -> None:
    (app / folder).mkdir()
    (app / folder / "bank.toml").write_text(ROOT)
    url = load_config(app / folder / "bank.toml", environ={}).store.url
    assert locate(url).path == os.path.realpath(app / folder / "greenroom.db")


def test_effective_lists_every_value_with_its_origin_but_no_password(app: Path) -> None:
    Path("bank.toml").write_text(SAMPLE)
    found = load_config("bank.toml", environ={})
    secret = msgspec.structs.replace(found.store, url="postgresql://me:secret@db/bank")
    settings = msgspec.structs.replace(found, store=secret).effective()
    assert Setting("store.url", "postgresql://me:***@db/bank", "file bank.toml") in settings
    assert Setting("supervisor.children[0].args", {"currency": "EUR"}, "file bank.toml") in settings
    assert Setting("supervisor.children[0].max_attempts", 5, "class bank:Ledger") in settings
    assert Setting("supervisor.children[1].template.retry_on", ("OSError",), "class bank:Account") in settings
    assert Setting("supervisor.children[1].period_s", 5.0, "default") in settings
    assert len({setting.key for setting in settings}) == len(settings)
    msgspec.json.encode(settings)  # --json
    broken = refused("bank.toml", environ={"GREENROOM_STORE__URL": "PG://me:secret@db/bank"})
    assert "secret" not in str(broken)


def test_the_schema_demands_no_kind_and_knows_every_key() -> None:
    schema = config_schema()
    definitions = schema["$defs"]
    assert definitions["ChildSpec"]["required"] == ["id", "actor"]
    assert definitions["SupervisorSpec"]["required"] == ["id"]
    assert set(definitions["ChildSpec"]["properties"]) == {"kind", *ChildSpec.__struct_fields__}
    assert set(definitions["SupervisorSpec"]["properties"]) == {"kind", *SupervisorSpec.__struct_fields__}
    assert not any(definition["additionalProperties"] for definition in definitions.values())
    json.dumps(schema)


def test_the_limits_of_a_node_reach_its_settings(app: Path) -> None:
    Path("bank.toml").write_text(ROOT + "[node]\ntransaction_timeout_s = 2.5\nkey_retention_s = 60\n")
    settings = load_config("bank.toml", environ={"GREENROOM_NODE__INBOX_POLL_S": "0.5"}).node.system()
    found = (settings.transaction_timeout_s, settings.key_retention_s, settings.inbox_poll_s)
    assert found == (2.5, 60, 0.5)
    for name in ("transaction_timeout_s", "key_retention_s", "inbox_poll_s"):
        Path("bank.toml").write_text(ROOT + f"[node]\n{name} = 0\n")
        assert f"node.{name}: found 0, expected a number of seconds above 0" in str(refused("bank.toml"))
