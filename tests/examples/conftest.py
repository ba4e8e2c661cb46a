"""The examples are scripts: their folders are put on the path, as `python examples/bank` does."""

from __future__ import annotations

import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

for name in ("bank", "indexer"):
    if str(EXAMPLES / name) not in sys.path:
        sys.path.append(str(EXAMPLES / name))
