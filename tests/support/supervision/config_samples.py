"""The pieces from which the tests of configs are put together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from greenroom.supervision.config.load import Config, load_config, load_tree
from greenroom.supervision.errors import ConfigError
from greenroom.supervision.spec.spec import ChildSpec, SupervisorSpec

ROOT = '[supervisor]\nid = "bank"\n'
LEDGER = '[[supervisor.children]]\nid = "ledger"\nactor = "bank:Ledger"\n'
ACCOUNT = '[[supervisor.children]]\nid = "account"\nactor = "bank:Account"\n'
DYNAMIC = ROOT + 'strategy = "dynamic"\n'

SAMPLE = """\
[store]
url = "sqlite:///bank.db"

[supervisor]
id = "bank"
strategy = "rest_for_one"      # one_for_one | one_for_all | rest_for_one | dynamic
intensity = 3
period_s = 5.0
auto_shutdown = "never"        # any_significant | all_significant

[[supervisor.children]]
id = "ledger"
actor = "bank:Ledger"          # module:Class, imported from the config file's folder or sys.path
args = { currency = "EUR" }    # checked against __init__'s annotations
restart = "permanent"          # transient | temporary
shutdown = 5.0                 # seconds, "brutal_kill" or "infinity"
significant = false

[[supervisor.children]]
id = "accounts"
strategy = "dynamic"
template = { id = "account", actor = "bank:Account" }
max_children = 100_000
"""


def sample_tree() -> SupervisorSpec:
    """The content of `SAMPLE`."""
    return SupervisorSpec(
        id="bank",
        strategy="rest_for_one",
        children=[
            ChildSpec(id="ledger", actor="bank:Ledger", args={"currency": "EUR"}),
            SupervisorSpec(id="accounts", strategy="dynamic", template=ChildSpec(id="account", actor="bank:Account")),
        ],
    )


def refused(path: str | Path, **options: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_tree(path, environ=options.pop("environ", {}), **options)
    return caught.value


def attempted(path: str) -> Config | ConfigError:
    """The result of loading a file. Any other exception escapes."""
    try:
        return load_config(path, environ={})
    except ConfigError as error:
        return error
