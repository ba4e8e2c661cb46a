"""The same counts by a plain loop, without greenroom: what the demo's results are compared with."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from counting import count, entries, plugin_of

__all__ = ("run", "walk")

ENDS = {"block": "hang", "kill": "crash"}
"""How a file ends that asks for a plug-in. Those can't be run here."""


def walk(folders: Sequence[str]) -> Iterator[str]:
    for folder in folders:
        for path, is_folder in entries(folder):
            if is_folder:
                yield from walk([path])
            else:
                yield path


def run(folders: Sequence[str]) -> Iterator[dict[str, Any]]:
    """For each file its path, and its counts or the way in which it has to fail."""
    for path in walk(folders):
        source = Path(path).read_bytes()
        if (plugin := plugin_of(source)) is not None:
            yield {"path": path, "cause": ENDS[plugin], "error": ENDS[plugin].capitalize()}
            continue
        try:
            counts = count(path, source)
        except (SyntaxError, ValueError) as error:
            yield {"path": path, "cause": "rejected", "error": type(error).__name__}
        else:
            yield {"path": path, **vars(counts)}


if __name__ == "__main__":
    for result in run(sys.argv[1:]):
        print(json.dumps(result), flush=True)
