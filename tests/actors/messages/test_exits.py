"""Exit reasons are data: they can be stored whatever the exception was."""

import pickle
from types import SimpleNamespace
from typing import Any

import pytest

from greenroom.actors.kernel.errors import AskFailed, Ignore, Reject, Retry, StartFailed
from greenroom.actors.messages.errors import ActorError
from greenroom.actors.messages.message import ENCODER, decoder_of
from greenroom.actors.messages.signals import TEXT_LIMIT_BYTES, TRACEBACK_LIMIT_BYTES, Down, Exited, ExitReason
from greenroom.persistence.errors import GreenroomError


class OwnError(Exception):
    pass


class Hostile(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text for you")


def caught(error: BaseException) -> ExitReason:
    try:
        raise error
    except BaseException as raised:
        return ExitReason.from_exception(raised)


def test_the_plain_reasons() -> None:
    assert ExitReason.normal() == ExitReason("normal")
    assert ExitReason.shutdown("bye") == ExitReason("shutdown", text="bye")
    assert ExitReason.killed("too slow").kind == "killed"
    assert str(ExitReason.normal()) == "normal"
    assert str(ExitReason.killed("too slow")) == "killed: too slow"


def test_a_builtin_error_goes_by_its_name_and_others_by_their_path() -> None:
    assert caught(ValueError("x")).error == "ValueError"
    assert caught(OwnError("x")).error == f"{__name__}.OwnError"
    assert str(caught(ValueError("bad amount"))) == "ValueError: bad amount"


def test_the_traceback_has_causes_and_notes() -> None:
    error = ValueError("outer")
    error.__cause__ = KeyError("inner")
    error.add_note("while counting")
    reason = caught(error)
    assert "KeyError: 'inner'" in reason.traceback
    assert "while counting" in reason.traceback
    assert "test_exits.py" in reason.traceback


def test_an_exception_group_shows_its_parts() -> None:
    parts = [KeyError("one"), ExceptionGroup("more", [ValueError(), OwnError("two")])]
    reason = caught(ExceptionGroup("several", parts))
    assert "KeyError: 'one'" in reason.traceback
    inner = f"ExceptionGroup: more (2 sub-exceptions): ValueError; {__name__}.OwnError: two"
    assert reason.text == f"several (2 sub-exceptions): KeyError: 'one'; {inner}"


def test_long_texts_are_cut_in_the_middle() -> None:
    reason = caught(ValueError("begin " + "ü" * 20_000 + " end"))
    assert len(reason.text.encode()) <= TEXT_LIMIT_BYTES
    assert len(reason.traceback.encode()) <= TRACEBACK_LIMIT_BYTES
    assert reason.text.startswith("begin ")
    assert reason.text.endswith(" end")
    assert "bytes cut" in reason.text
    assert reason.traceback.startswith("Traceback")


def test_what_cannot_be_stored_is_escaped() -> None:
    reason = caught(ValueError("file \udcff"))
    assert reason.text == "file \\udcff"
    ENCODER.encode(reason)


def test_an_exception_whose_str_raises_is_an_exit_all_the_same() -> None:
    reason = caught(Hostile())
    assert reason.error.endswith("Hostile")
    assert "RuntimeError" in reason.text


def test_hostile_notes_do_not_hide_the_exit() -> None:
    error = ValueError("x")
    error.__notes__ = 3  # type: ignore[assignment]
    assert caught(error).error == "ValueError"


def test_deep_recursion_fits() -> None:
    def down() -> None:
        down()

    with pytest.raises(RecursionError) as raised:
        down()
    assert len(ExitReason.from_exception(raised.value).traceback.encode()) <= TRACEBACK_LIMIT_BYTES


@pytest.mark.parametrize(
    "message",
    [
        Exited(address="/a/b", boot=3, incarnation=7, reason=caught(ValueError("x")), message_uid="ab", attempt=2),
        Down(address="/a/b", reason=ExitReason.normal()),
    ],
)
def test_exits_are_messages(message: Any) -> None:
    assert decoder_of(type(message)).decode(ENCODER.encode(message)) == message


# -- the errors ---------------------------------------------------------------------------------------

REASON = ExitReason("error", "ValueError", "bad amount", "Traceback (most recent call last): …")
errors: Any = SimpleNamespace(**ActorError.leaves)

EXAMPLES: list[ActorError] = [
    errors.ActorNotFound("/bank/x", "no such child"),
    errors.AskAfterTell("/bank/x"),
    errors.AskCycle(("/a", "/b", "/a")),
    errors.AskFailed("/bank/x", REASON),
    errors.AskTimeout("/bank/x", Down(address="/y", reason=REASON), 0.5),
    errors.ExtraMissing("cron", "schedule(cron=...)", "cronsim"),
    errors.GroupEmpty("workers", undelivered=Down(address="/y", reason=REASON)),
    errors.ExitInTask(SystemExit(1)),
    errors.HandlerTimeout("/bank/x", 60.0),
    errors.SelfCancelled("/bank/x", "on_stop"),
    errors.KeyConflict("/bank/x", "key-1"),
    errors.KeyDamaged("/bank/x", "key-1"),
    errors.KeyUnsupported("/bank/x", "key-1"),
    errors.MailboxFull("/bank/x", 10, undelivered=Down(address="/y", reason=REASON)),
    errors.NotAMessage({"amount": 3}),
    errors.NodeNotRunning("/bank/x", "sqlite:///bank.db"),
    errors.NotAllTold("workers", {"/bank/y": errors.MailboxFull("/bank/y", 1)}, ("/bank/x",)),
    errors.NotRunning("Account", "ref"),
    errors.ReplyError("balance", "Balance", "Expected `int`, got `str`"),
    errors.StartFailed("/bank/x", REASON),
    errors.StashFull("/bank/x", 10),
    errors.StateError("/bank/x", "nan"),
    errors.SystemStopped("/bank/x", undelivered=Down(address="/y", reason=REASON)),
    errors.TaskCancelled("/bank/tasks", "fetch", "it was cancelled"),
    errors.TaskTimeout("/bank/tasks", "fetch", 1.0),
    errors.TasksFull("/bank/tasks", 10, 100),
    errors.TooManyMonitors("/bank/x", 100_000),
    errors.TooManyTimers("/bank/x", 10_000),
    errors.TransactionTimeout("/bank/x", 1.0),
    errors.TurnClosed("/bank/x"),
    errors.UndecodableMessage("/bank/x", "Deposit", "missing field"),
    errors.UnhandledMessage("/bank/x", "Deposit"),
    errors.UnknownMessageType("/bank/x", "Deposti", ["Withdraw", "Deposit"]),
]


def test_every_error_has_an_example_here() -> None:
    assert {type(error).__name__ for error in EXAMPLES} == set(ActorError.leaves)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling_with_its_attributes(error: ActorError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert repr(vars(copy)) == repr(vars(error))  # errors within errors have no equality


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_stands_under_the_root_and_says_what_to_do(error: ActorError) -> None:
    assert isinstance(error, GreenroomError)
    assert type(error).__doc__
    if isinstance(error, errors.StateError):  # what they carry says it
        return
    assert ". " in str(error) or ", or " in str(error)


def test_an_ask_that_times_out_is_a_timeout() -> None:
    with pytest.raises(TimeoutError, match=r"/bank/x did not answer Balance within 0\.5 s"):
        raise errors.AskTimeout("/bank/x", "Balance", 0.5)


def test_reasons_and_undelivered_messages_are_kept() -> None:
    assert AskFailed("/a", REASON).reason is REASON
    assert StartFailed("/a", REASON).reason is REASON
    assert "ValueError: bad amount" in str(StartFailed("/a", REASON))


def test_unknown_types_are_guessed() -> None:
    assert "did you mean 'Deposit'" in str(errors.UnknownMessageType("/a", "Deposti", ["Deposit", "Withdraw"]))
    assert "did you mean" not in str(errors.UnknownMessageType("/a", "Zzz", ["Deposit"]))


def test_a_class_told_in_place_of_an_instance_is_named() -> None:
    assert "Down(...)" in str(errors.NotAMessage(Down))


@pytest.mark.parametrize("verdict", [Retry(2.5, "busy"), Reject("too old"), Ignore("not here")])
def test_verdicts_are_no_errors_of_greenroom_and_survive_pickling(verdict: Exception) -> None:
    assert not isinstance(verdict, GreenroomError)
    assert vars(pickle.loads(pickle.dumps(verdict))) == vars(verdict)


@pytest.mark.parametrize("after_s", [-1.0, float("inf"), float("nan")])
def test_a_retry_has_a_finite_delay(after_s: float) -> None:
    with pytest.raises(ValueError, match="after_s"):
        Retry(after_s)
