"""Random scenarios on a real OTP and on ours: they agree, but for what docs/otp-conformance.md names.

`make otp-diff` runs 2,000 of them. Without an Erlang (`apt install erlang-base`) there is nothing to compare with.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mutations import ROOT
from otp_diff import explore
from otp_faults import planted
from otp_judge import NAMED
from otp_peer import Peer, erlang, peer
from otp_scenario import make, term

needs_erlang = pytest.mark.skipif(not erlang(), reason="there is no Erlang here")


@pytest.fixture(scope="module")
def otp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    folder: Path = tmp_path_factory.mktemp("otp")
    with peer(folder) as found:
        yield found


@needs_erlang
async def test_scenarios(otp: Peer) -> None:
    findings = await explore(otp, range(100))
    assert findings.scenarios == 100
    assert not findings.unnamed, "\n\n".join(map(str, findings.unnamed))


@needs_erlang
@pytest.mark.torture
async def test_many_scenarios(otp: Peer) -> None:
    findings = await explore(otp, range(1_000, 3_000))
    assert findings.scenarios == 2_000
    assert not findings.unnamed, "\n\n".join(map(str, findings.unnamed))
    assert findings.named.total() <= 40, f"named differences are few: {findings.named}"


@needs_erlang
@pytest.mark.parametrize("fault", planted)
async def test_a_planted_fault_is_found(otp: Peer, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    planted[fault](monkeypatch)
    for first in range(0, 1_000, 50):
        findings = await explore(otp, range(first, first + 50), shows=0)
        if findings.unnamed:
            return
    pytest.fail("1,000 scenarios didn't show it")


def test_differences_are_named_by_the_page() -> None:
    page = (ROOT / "docs" / "otp-conformance.md").read_text()
    assert NAMED
    for name in NAMED:
        assert f"\n| {name} | " in page, name


def test_scenarios_are_terms_of_erlang() -> None:
    scenario = make(7)
    assert make(7) == scenario
    assert make(8) != scenario
    assert term(("a", True, [1, ("b",)])) == "{a,true,[1,{b}]}"
