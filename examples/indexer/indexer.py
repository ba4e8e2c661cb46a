"""An indexer of Python files: a scanner finds them, a pool of parsers counts, an index keeps the sums.

One message a file. Nothing here looks whether a file was counted before: a turn commits as a whole (the
message is gone, the rows are written, the sums have grown) or not at all, and that is enough.
"""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path
from zlib import crc32

import msgspec
from counting import count, entries, plugin_of
from plugins import PLUGINS
from sqlalchemy import text

from greenroom import Actor, Message, handler

__all__ = ("Allow", "Index", "Parser", "Scanner", "folders")

BAD = Path(__file__).resolve().parent / "bad"
FILES_A_TURN = 64
"""A turn of the scanner hands out at most so many files, because a folder of thousands would be one long turn."""


def folders() -> list[str]:
    """The folders to index: INDEXER_FOLDERS, or the standard library of this interpreter and the bad files."""
    chosen = os.environ.get("INDEXER_FOLDERS")
    return chosen.split(os.pathsep) if chosen else [sysconfig.get_paths()["stdlib"], str(BAD)]


def allowed_at_first() -> int | None:
    """How many files the scanner may hand out before it gets an `Allow`: INDEXER_FILES_AT_FIRST, or all (None)."""
    number = os.environ.get("INDEXER_FILES_AT_FIRST")
    return int(number) if number else None


class Folder(Message):
    path: str
    after: str = ""
    """The last entry that was handed out. The message stands for the entries behind it."""


class Allow(Message):
    """How many files the scanner may hand out in all. It waits at that number until it is allowed more."""

    files: int


class Parse(Message):
    path: str


class Parsed(Message):
    path: str
    lines: int
    classes: int
    functions: int
    imports: dict[str, int]


class Walk(msgspec.Struct):
    begun: bool = False
    given: int = 0
    """Files that were handed out."""
    allowed: int | None = None
    """So many files may be handed out; None: all of them."""


class Scanner(Actor[Walk]):
    """Walks the folders and gives every file to one of the parsers."""

    def __init__(self, *, parsers: int = 8) -> None:
        self.parsers = parsers

    async def on_start(self) -> None:
        if not self.state.begun:  # once in its life, however often it starts
            self.state.begun = True
            self.state.allowed = allowed_at_first()
            for folder in folders():
                self.ref.tell(Folder(path=folder))

    @handler
    def scan(self, message: Folder) -> None:
        if self.state.given == self.state.allowed:
            self.stash()  # until it is allowed more
            return
        given = 0
        for path, is_folder in entries(message.path, after=message.after):
            if is_folder:
                self.ref.tell(Folder(path=path))
                continue
            parser = crc32(path.encode()) % self.parsers
            self.system.ref(f"/indexer/parsers/{parser}").tell(Parse(path=path))
            given += 1
            self.state.given += 1
            if given == FILES_A_TURN or self.state.given == self.state.allowed:
                self.ref.tell(Folder(path=message.path, after=Path(path).name))
                break

    @handler
    def allow(self, message: Allow) -> None:
        if self.state.allowed is not None and message.files > self.state.allowed:
            self.state.allowed = message.files
            self.unstash_all()


class Parser(Actor[None]):
    reject_on = (SyntaxError, UnicodeDecodeError, ValueError)  # the file's fault: a dead letter at once
    retry_on = (OSError,)

    @handler
    def parse(self, message: Parse) -> None:
        source = Path(message.path).read_bytes()
        if (plugin := plugin_of(source)) is not None:
            source = PLUGINS[plugin](source)
        counts = count(message.path, source)
        self.system.ref("/indexer/index").tell(
            Parsed(
                path=message.path,
                lines=counts.lines,
                classes=counts.classes,
                functions=counts.functions,
                imports=counts.imports,
            )
        )


class Sums(msgspec.Struct):
    files: int = 0
    lines: int = 0
    classes: int = 0
    functions: int = 0


class Index(Actor[Sums]):
    """Sums in its state, and a row for each file in a table of its own: both in one commit with the messages."""

    async def on_start(self) -> None:
        async with self.transaction() as db:
            await db.execute(CREATE)

    @handler
    async def add(self, files: list[Parsed]) -> None:  # as many as wait, in one transaction
        for file in files:
            self.state.files += 1
            self.state.lines += file.lines
            self.state.classes += file.classes
            self.state.functions += file.functions
        async with self.transaction() as db:
            await db.execute(INSERT, {"rows": msgspec.json.encode(files).decode()})


# No key: a file that is counted twice shows as two rows.
CREATE = text(
    "CREATE TABLE IF NOT EXISTS indexed_file"
    " (path TEXT, lines INTEGER, classes INTEGER, functions INTEGER, imports TEXT)"
)
INSERT = text(
    "INSERT INTO indexed_file SELECT value ->> 'path', value ->> 'lines', value ->> 'classes',"
    " value ->> 'functions', value ->> 'imports' FROM json_each(:rows)"
)
