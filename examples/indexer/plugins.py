"""Plug-ins of the parser: what a file may ask for in its first line, `# indexer-plugin: NAME`.

Both are there to be survived: each does the worst that third-party code in a handler can do.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

__all__ = ("PLUGINS",)


def block(source: bytes) -> bytes:
    """Blocks the event loop for good. No timeout of asyncio's can end that."""
    time.sleep(3600)
    return source


def kill(source: bytes) -> bytes:
    """Takes the whole process down, as a segmentation fault in an extension would."""
    os.kill(os.getpid(), signal.SIGKILL)
    return source


PLUGINS: dict[str, Callable[[bytes], bytes]] = {"block": block, "kill": kill}
