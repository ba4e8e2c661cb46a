"""DurableState: the bytes behind an actor's state. The bytes are the truth; the next turn works on the
object, which is made from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...persistence.errors import StoreFull, StoreUnavailable
from ...persistence.store.checksums import sealed
from ...persistence.store.rows import ActorRow
from ..definition.definition import Definition
from ..definition.stored_state import UNFIT, decode_state, read_stored
from ..messages.difference import first_difference
from ..messages.errors import StateError
from ..messages.message import ENCODER
from .errors import NotRunning
from .hooks import Instance

if TYPE_CHECKING:
    from .cell import Cell

__all__ = ("DurableState", "NoState")

STATELESS = b"null"

encode = ENCODER.encode

_FIX = "Give `self.state` values of the types that it declares"


class NoState:
    """Stands for the state of an instance that has none yet. (A `__getattr__` would slow down all attributes.)"""

    def __get__(self, actor: Instance | None, owner: type) -> Any:
        if actor is None:
            return self
        raise NotRunning(owner.__qualname__, "state")


class DurableState:
    """The state of one address. Every durable actor has a row, a stateless one too, because the row makes it known."""

    __slots__ = ("_cell", "_definition", "address", "has_object", "known", "last", "loaded", "outdated", "writes")

    def __init__(self, cell: Cell, definition: Definition, durable: bool) -> None:
        self._cell = cell
        self._definition = definition
        self.address = cell.address
        self.has_object = durable and definition.state_type is not None
        """Whether there is a state to keep."""
        self.writes = durable
        """Whether a finish may have something to write. A stateless actor has only its first row."""
        self.loaded = not durable
        self.known = False
        """Whether it has a row, on disk or on its way."""
        self.last: bytes | None = None
        """The bytes of the last finished turn. A restart restores them."""
        self.outdated: bytes | None = None
        """The value of `last` after the load, if the row has another name or version than the class now writes."""

    def forget(self, *, loaded: bool) -> None:
        """Go back to knowing nothing. `loaded`: there is certainly no row; else it is to be read again."""
        durable = self._cell.durable
        self.writes = durable
        self.known = False
        self.last = self.outdated = None
        self.loaded = loaded or not durable

    async def load(self) -> None:
        """Read the row, unless its content is known.

        Raises:
            StoreFull, StoreUnavailable: the tree is being reset.
            RecordCorrupt: the row is damaged. StateError: it is another class's, or can't be
                upgraded. Nothing is overwritten.
        """
        if self.loaded:
            return
        cell = self._cell
        try:
            row = await cell.kernel.store.get(ActorRow, cell.address)
        except (StoreFull, StoreUnavailable) as error:  # no fault of the actor, nor of the message that starts it
            cell.kernel.store_failed(error)
            raise
        if row is not None:
            stored = read_stored(cell, row)
            self.last = stored.state
            self.outdated = stored.state if stored.outdated else None
            self.known = True
            if not self.has_object:
                self.writes = False
        self.loaded = True

    def install(self, actor: Instance) -> None:
        """Give a new instance its state: the last finished one, or the initial one.

        Raises:
            StateError: what is stored doesn't fit the type.
        """
        if self.has_object and self.last is not None:
            definition, address = self._cell.definition, self._cell.address
            actor.state = decode_state(address, definition, self.last, "what is stored doesn't fit its type", UNFIT)
        elif self._cell.definition.state_type is not None:
            actor.state = actor.initial_state()

    def restore(self, actor: Instance) -> None:
        """Go back to the last finished bytes."""
        if self.has_object and self.last is not None:
            actor.state = self._decode(self.last, "the last finished state doesn't decode")

    def changed(self, actor: Instance) -> bytes | None:
        """The state's bytes if they differ from the last finished ones.

        Raises:
            StateError: it can't be encoded, its bytes don't decode again (a NaN becomes `null`), or they decode to
                another state (messages/difference.py).
        """
        if not self.has_object:
            return None if self.known else self.last or STATELESS
        definition = self._definition
        try:
            state = encode(actor.state)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise StateError(self._cell.address, f"it can't be encoded: {error}", _FIX) from error
        if state == self.last and b"null" not in state and not definition.state_is_open:  # a null may stand for a NaN
            return None if self.known else state
        vouch = definition.state_vouch
        if vouch is not None and type(actor.state) is definition.state_type and vouch(actor.state):
            return state if state != self.last or not self.known else None
        assert definition.state_decoder is not None
        try:
            back = definition.state_decoder.decode(state)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise StateError(self.address, f"what this turn left doesn't decode again: {error}", _FIX) from error
        try:
            same = not definition.state_is_walked and back == actor.state
        except KeyboardInterrupt:
            raise
        except BaseException:  # a value with an odd `__eq__`, or one that is nested too deep for it
            same = False
        if not same and (difference := first_difference(actor.state, back, "state")) is not None:
            raise StateError(self.address, f"what this turn left would change: {difference}", difference.remedy)
        return state if state != self.last or not self.known else None

    def finished(self, state: bytes) -> None:
        """A turn with these bytes has its position in the commit queue."""
        if self.has_object:
            self.last = state
        else:
            self.writes = False
            self.outdated = None
        self.known = True

    def rewrite(self, due: bool) -> None:
        """Set whether the next finished turn writes a row of an old name or version anew, changed or not.

        Turns of messages do. `on_start` and `on_stop` don't, because a tree that doesn't start must leave no row
        that the older code couldn't read.
        """
        if self.last is not self.outdated:
            self.outdated = None  # a turn has written it
            return
        self.known = not due
        self.writes = due or self.has_object

    def _decode(self, state: bytes, what: str) -> Any:
        return decode_state(self._cell.address, self._cell.definition, state, what)

    # -- what the committer asks for -------------------------------------------------------------------

    def actor_row(self, state: bytes) -> ActorRow:
        cell = self._cell
        number = cell.last_exit if cell.incarnation is None else cell.incarnation.number
        now = cell.kernel.runtime.now()
        return sealed(ActorRow, self.address, cell.definition.stored_type, state.decode(), number, now)
