"""Malformed config files, each with one mistake, and what is said about it."""

# ruff: noqa: E501 - a message stands as it is printed

from __future__ import annotations

from config_samples import ACCOUNT, DYNAMIC, LEDGER, ROOT

ONE_PROBLEM = [
    # the shape of the file
    ("", 'the file is empty. The least there can be is [supervisor] with id = "app".'),
    ("\n  \n", 'the file is empty. The least there can be is [supervisor] with id = "app".'),
    ("[store]\n", 'supervisor: found nothing, expected a table with "id". In TOML: [supervisor]'),
    ("supervisor = 1\n", 'supervisor: found 1, expected a table with "id". In TOML: [supervisor]'),
    ("[supervisor\n", "line 1, column 12: this is no TOML: Expected ']' at the end of a table declaration"),
    ("[supervisor]\nid = ", "line 2, column 6: this is no TOML: Invalid value"),
    ("[supervisor]\nid == 1\n", "line 2, column 5: this is no TOML: Invalid value"),
    (ROOT + 'id = "b"\n', "line 3, column 9: this is no TOML: Cannot overwrite a value"),
    ('id = "bank"\n' + ROOT, "id: there is no such key. It belongs under [supervisor]."),
    (ROOT + "[supervisr]\n", 'supervisr: there is no such key. Did you mean "supervisor"?'),
    (ROOT + "[zzz]\n", "zzz: there is no such key. There are aliases, node, store, supervisor."),
    # [store] and [node]
    ('store = "x"\n' + ROOT, 'store: found "x", expected a table. In TOML: [store]'),
    (
        ROOT + '[store]\nurl = "bank.db"\n',
        (
            'store.url: found "bank.db", expected a URL as sqlite:///bank.db or memory://. '
            'Did you mean "sqlite:///bank.db"?'
        ),
    ),
    (
        ROOT + "[store]\nurl = 5\n",
        (
            "store.url: found 5, expected a URL as sqlite:///bank.db or memory://. "
            "Expected sqlite:///path/to/file.db, for example."
        ),
    ),
    (ROOT + '[store]\nuri = "sqlite:///x"\n', 'store.uri: there is no such key. Did you mean "url"?'),
    (ROOT + "[node]\nhang_s = 0\n", "node.hang_s: found 0, expected a number of seconds above 0"),
    (ROOT + "[node]\nhang_s = nan\n", "node.hang_s: found NaN, expected a number of seconds above 0"),
    (ROOT + '[node]\nhang_s = "30"\n', 'node.hang_s: found "30", expected a number of seconds above 0'),
    (ROOT + "[node]\nhangs = 3\n", 'node.hangs: there is no such key. Did you mean "hang_s"?'),
    (
        ROOT + "[node]\nrespawn_intensity = -1\n",
        "node.respawn_intensity: found -1, expected a whole number of at least 0",
    ),
    (
        ROOT + "[node]\nstop_timeout_s = true\n",
        "node.stop_timeout_s: found true, expected a number of seconds above 0",
    ),
    # keys of another place, or of another system
    (
        ROOT + "[node]\nmailbox_limt = 5\n",
        "node.mailbox_limt: there is no such key. It is called `capacity`, and belongs to an actor.",
    ),
    (
        ROOT + "[node]\ncapacity = 5\n",
        "node.capacity: there is no such key. `capacity` belongs to an actor: put it into the entry of its child.",
    ),
    (ROOT + "[node]\nstrategy = 5\n", "node.strategy: there is no such key. `strategy` belongs to a supervisor."),
    (ROOT + LEDGER + "hang_s = 5\n", "supervisor.children[0].hang_s: there is no such key. It belongs under [node]."),
    (ROOT + 'url = "sqlite:///x"\n', "supervisor.url: there is no such key. It belongs under [store]."),
    (ROOT + "max_restarts = 5\n", "supervisor.max_restarts: there is no such key. Here it is called `intensity`."),
    (
        ROOT + LEDGER + "max_retrys = 5\n",
        "supervisor.children[0].max_retrys: there is no such key. Here it is called `max_attempts`.",
    ),
    # the supervisor's own keys
    (
        '[supervisor]\nstrategy = "one_for_one"\n',
        'supervisor.id: found nothing, expected a printable text of 1 to 200 characters without "/"',
    ),
    (
        '[supervisor]\nid = ""\n',
        'supervisor.id: found "", expected a printable text of 1 to 200 characters without "/"',
    ),
    (
        '[supervisor]\nid = "a/b"\n',
        'supervisor.id: found "a/b", expected a printable text of 1 to 200 characters without "/"',
    ),
    (
        "[supervisor]\nid = 7\n",
        'supervisor.id: found 7, expected a printable text of 1 to 200 characters without "/"',
    ),
    (
        ROOT + 'strategy = "one-for-one"\n',
        (
            'supervisor.strategy: found "one-for-one", expected one of one_for_one, one_for_all, rest_for_one, dynamic, partition. '
            'Did you mean "one_for_one"?'
        ),
    ),
    (ROOT + "intensity = -1\n", "supervisor.intensity: found -1, expected a whole number of at least 0"),
    (ROOT + "intensity = 1.5\n", "supervisor.intensity: found 1.5, expected a whole number of at least 0"),
    (ROOT + "period_s = 0\n", "supervisor.period_s: found 0, expected a number of seconds above 0"),
    (ROOT + "period_s = inf\n", "supervisor.period_s: found Infinity, expected a number of seconds above 0"),
    (ROOT + "period = 5\n", 'supervisor.period: there is no such key. Did you mean "period_s"?'),
    (
        ROOT + 'auto_shutdown = "any"\n',
        'supervisor.auto_shutdown: found "any", expected one of never, any_significant, all_significant',
    ),
    (
        ROOT + "significant = true\n",
        "supervisor.significant: found true, expected false: the root has no supervisor that its end could end",
    ),
    (
        ROOT + 'actor = "bank:Ledger"\n',
        "supervisor.actor: there is no such key. The root is a supervisor: put actors under its children.",
    ),
    (
        ROOT + "max_attempts = 3\n",
        (
            "supervisor.max_attempts: there is no such key. "
            "`max_attempts` belongs to an actor, and this entry is a supervisor."
        ),
    ),
    (ROOT + 'kind = "actor"\n', 'supervisor.kind: found "actor", expected "supervisor" for the root'),
    # children
    (
        ROOT + '[supervisor.children]\nid = "ledger"\nactor = "bank:Ledger"\n',
        "supervisor.children: found a table, expected an array of child specs. In TOML: [[supervisor.children]]",
    ),
    (ROOT + "children = 5\n", "supervisor.children: found 5, expected an array of child specs"),
    (
        ROOT + "children = [5]\n",
        (
            'supervisor.children[0]: found 5, expected a ChildSpec (a table with "id" and "actor") '
            'or a SupervisorSpec (a table with "id" and "strategy")'
        ),
    ),
    (
        ROOT + '[[supervisor.children]]\nid = "ledger"\nactr = "bank:Ledger"\n',
        "supervisor.children[0]: this entry has no `actor` (did you mean it for `actr`?)",
    ),
    (
        ROOT + '[[supervisor.children]]\nid = "ledger"\n',
        (
            'supervisor.children[0].actor: found nothing, expected an actor class as "module:Class". '
            'Add actor = "module:Class"; or a strategy, if it is a supervisor.'
        ),
    ),
    (
        ROOT + LEDGER + 'strategy = "dynamic"\n',
        (
            "supervisor.children[0].strategy: there is no such key. "
            "`strategy` belongs to a supervisor, and this entry is an actor."
        ),
    ),
    (
        ROOT + LEDGER + 'kind = "supervisor"\n',
        'supervisor.children[0].kind: found "supervisor", expected one of actor, supervisor',
    ),
    (
        ROOT + '[[supervisor.children]]\nid = "x"\nchildren = []\nkind = []\n',
        "supervisor.children[0].kind: found an empty array, expected one of actor, supervisor",
    ),
    (ROOT + LEDGER + "arg = {}\n", 'supervisor.children[0].arg: there is no such key. Did you mean "args"?'),
    (
        ROOT + LEDGER + LEDGER,
        'supervisor.children[1].id: found "ledger", expected an id of its own: children[0] has that one',
    ),
    (
        ROOT + LEDGER + ACCOUNT + 'restart = "permanant"\n',
        (
            'supervisor.children[1].restart: found "permanant", expected one of permanent, transient, temporary. '
            'Did you mean "permanent"?'
        ),
    ),
    (
        ROOT + LEDGER + "shutdown = -1\n",
        (
            "supervisor.children[0].shutdown: found -1, expected a number of seconds of at least 0, "
            '"brutal_kill" or "infinity"'
        ),
    ),
    (
        ROOT + LEDGER + 'shutdown = "brutal"\n',
        (
            'supervisor.children[0].shutdown: found "brutal", expected a number of seconds of at least 0, '
            '"brutal_kill" or "infinity". Did you mean "brutal_kill"?'
        ),
    ),
    (
        ROOT + LEDGER + 'significant = "yes"\n',
        'supervisor.children[0].significant: found "yes", expected true or false',
    ),
    (
        ROOT + 'auto_shutdown = "any_significant"\n' + LEDGER + "significant = true\n",
        (
            "supervisor.children[0].significant: found true, expected false: a permanent child is always restarted. "
            'Set restart = "transient" or "temporary".'
        ),
    ),
    (
        ROOT + LEDGER + 'significant = true\nrestart = "transient"\n',
        (
            'supervisor.children[0].significant: found true, expected false: "bank" has auto_shutdown = "never". '
            'Set auto_shutdown = "any_significant" or "all_significant" there.'
        ),
    ),
    # dynamic
    (
        DYNAMIC + LEDGER,
        (
            'supervisor.children: found an array, expected none for strategy = "dynamic". '
            "Give a template, or start them by StartChild, or choose another strategy."
        ),
    ),
    (
        DYNAMIC + 'auto_shutdown = "any_significant"\n',
        'supervisor.auto_shutdown: found "any_significant", expected "never" for strategy = "dynamic"',
    ),
    (
        ROOT + 'template = { id = "a", actor = "bank:Account" }\n',
        (
            'supervisor.template: found a ChildSpec, expected none unless strategy = "dynamic". '
            'Set strategy = "dynamic", or leave template out.'
        ),
    ),
    (
        ROOT + "max_children = 7\n",
        (
            'supervisor.max_children: found 7, expected none unless strategy = "dynamic". '
            'Set strategy = "dynamic", or leave max_children out.'
        ),
    ),
    (
        DYNAMIC + "max_children = 0\n",
        "supervisor.max_children: found 0, expected a whole number of at least 1",
    ),
    (
        DYNAMIC + "template = 1\n",
        'supervisor.template: found 1, expected a ChildSpec (a table with "id" and "actor")',
    ),
    (
        DYNAMIC + 'template = { id = "a", actor = "bank:Account", significant = true, restart = "temporary" }\n',
        (
            "supervisor.template.significant: found true, expected false: "
            "children of a dynamic supervisor can't be significant"
        ),
    ),
    (
        DYNAMIC + 'template = { id = "a", strategy = "dynamic" }\n',
        'supervisor.template: found a SupervisorSpec, expected a ChildSpec (a table with "id" and "actor")',
    ),
    # options
    (
        ROOT + LEDGER + "max_attempts = 0\n",
        "supervisor.children[0].max_attempts: found 0, expected a whole number of at least 1",
    ),
    (ROOT + LEDGER + "durable = 1\n", "supervisor.children[0].durable: found 1, expected true or false"),
    (
        ROOT + LEDGER + 'overflow = "drop"\n',
        'supervisor.children[0].overflow: found "drop", expected one of wait, reject',
    ),
    (
        ROOT + LEDGER + 'idle_timeout_s = "never"\n',
        'supervisor.children[0].idle_timeout_s: found "never", expected a number of seconds above 0, or "infinity"',
    ),
    (
        ROOT + LEDGER + "backoff = { factor = 0 }\n",
        "supervisor.children[0].backoff.factor: found 0, expected a number of at least 1",
    ),
    (
        ROOT + LEDGER + "backoff = { inital_s = 1 }\n",
        'supervisor.children[0].backoff.inital_s: there is no such key. Did you mean "initial_s"?',
    ),
    (
        ROOT + LEDGER + "backoff = 3\n",
        "supervisor.children[0].backoff: found 3, expected a table of initial_s, factor, max_s, jitter",
    ),
    (
        ROOT + LEDGER + "journal = true\n",
        "supervisor.children[0].journal: journal = True: journals are not in this release; remove the option",
    ),
    (
        ROOT + LEDGER + 'retry_on = "OSError"\n',
        'supervisor.children[0].retry_on: found "OSError", expected an array of exception classes',
    ),
    (
        ROOT + LEDGER + 'retry_on = ["OSEror"]\n',
        (
            'supervisor.children[0].retry_on[0]: "OSEror": there is no builtin "OSEror", and no module is named. '
            'Did you mean "OSError"?'
        ),
    ),
    (
        ROOT + LEDGER + 'reject_on = ["KeyError", "bank:Ledger"]\n',
        'supervisor.children[0].reject_on[1]: found "bank:Ledger", expected a subclass of Exception',
    ),
    (
        ROOT + ACCOUNT + 'retry_on = ["ValueError"]\n',
        "supervisor.children[0]: ValueError is in retry_on and in reject_on: leave it in one of them",
    ),
    # the actor class
    (
        ROOT + '[[supervisor.children]]\nid = "x"\nactor = 5\n',
        'supervisor.children[0].actor: found 5, expected an actor class as "module:Class"',
    ),
    (
        ROOT + '[[supervisor.children]]\nid = "x"\nactor = "bank.Ledger"\n',
        (
            'supervisor.children[0].actor: found "bank.Ledger", expected an actor class as "module:Class". '
            'Did you mean "bank:Ledger"?'
        ),
    ),
    (
        ROOT + '[[supervisor.children]]\nid = "x"\nactor = "bnak:Ledger"\n',
        (
            'supervisor.children[0].actor: "bnak:Ledger": there is no module "bnak" in {folder} or on sys.path. '
            'Did you mean "bank"?'
        ),
    ),
    (
        ROOT + '[[supervisor.children]]\nid = "x"\nactor = "bank:Legder"\n',
        (
            'supervisor.children[0].actor: "bank:Legder": module "bank" has no "Legder" ({folder}/bank.py). '
            'Did you mean "bank:Ledger"?'
        ),
    ),
    (
        ROOT + '[[supervisor.children]]\nid = "x"\nactor = "bank:NoActor"\n',
        'supervisor.children[0].actor: found "bank:NoActor", expected a subclass of Actor: bank:NoActor is none',
    ),
    (
        ROOT + '[[supervisor.children]]\nid = "x"\nactor = "bank:Actor"\n',
        (
            'supervisor.children[0].actor: found "bank:Actor", expected a subclass of Actor: '
            "greenroom:Actor is Actor itself"
        ),
    ),
    (
        ROOT + '[[supervisor.children]]\nid = "x"\nactor = "bank:ledger"\n',
        'supervisor.children[0].actor: "bank:ledger": ledger is no class, but a function',
    ),
    (
        ROOT + '[[supervisor.children]]\nid = "x"\nactor = "../bank:Ledger"\n',
        'supervisor.children[0].actor: "../bank:Ledger": this names no class: expected "module:Class"',
    ),
    (
        ROOT + '[[supervisor.children]]\nid = "x"\nactor = "bank:f.<locals>.Ledger"\n',
        (
            'supervisor.children[0].actor: "bank:f.<locals>.Ledger": the class is local to a function, '
            "so it can't be imported. Move it to the top of its module."
        ),
    ),
    # args
    (
        ROOT + LEDGER + "args = 5\n",
        "supervisor.children[0].args: found 5, expected a table of keyword arguments",
    ),
    (
        ROOT + LEDGER + 'args = { curency = "EUR" }\n',
        'supervisor.children[0].args.curency: bank:Ledger takes no such argument. Did you mean "currency"?',
    ),
    (
        ROOT + ACCOUNT + 'args = { currency = "EUR" }\n',
        "supervisor.children[0].args.currency: bank:Account takes no such argument. It takes none.",
    ),
    (
        ROOT + LEDGER + 'args = { currency = "EURO" }\n',
        'supervisor.children[0].args.currency: found "EURO", expected one of EUR, USD. Did you mean "EUR"?',
    ),
    (
        ROOT + LEDGER + 'args = { since = "yesterday" }\n',
        (
            'supervisor.children[0].args.since: invalid RFC3339 encoded date: found "yesterday", '
            "expected datetime.date | None"
        ),
    ),
    (
        ROOT + '[[supervisor.children]]\nid = "x"\nactor = "bank:Archive"\n',
        ("supervisor.children[0].args.folder: found nothing, expected Path. bank:Archive takes it without a default."),
    ),
    (
        ROOT + '[[supervisor.children]]\nid = "x"\nactor = "bank:Archive"\nargs = { folder = 5 }\n',
        "supervisor.children[0].args.folder: found 5, expected Path",
    ),
    (
        ROOT + '[[supervisor.children]]\nid = "x"\nactor = "bank:Archive"\nargs = { folder = "x", sizes = [1, "2"] }\n',
        "supervisor.children[0].args.sizes[1]: Expected int, got str",
    ),
    (
        ROOT + '[[supervisor.children]]\nid = "x"\nactor = "bank:Archive"\nargs = { folder = "x", sizes = 1 }\n',
        "supervisor.children[0].args.sizes: found 1, expected array",
    ),
]
