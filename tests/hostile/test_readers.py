"""Every reader of what others send, against thousands of mutants of its seeds; `python -m tests.hostile` tries more."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.hostile.run import keep, run
from tests.hostile.targets import TARGETS

_SEED = int(os.environ.get("ACTIONLENS_HOSTILE_SEED", "0"))
_SCALE = float(os.environ.get("ACTIONLENS_HOSTILE_SCALE", "1"))


def test_every_kind_of_fault_is_found_and_the_run_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tests.hostile.run.CASE_SECONDS", 0.5)
    monkeypatch.setattr("tests.hostile.run.FAILURES", tmp_path)
    faulty, endless = run(3, {"faulty": 4, "endless": 1})
    assert faulty.failures is not None
    assert endless.failures is not None
    kinds = ("KeyError", "MemoryError", "ended the process (-6)", "KeyError")
    assert [number for number, _ in faulty.failures] == [0, 1, 2, 3]
    assert all(kind in why for kind, (_, why) in zip(kinds, faulty.failures, strict=True))
    assert [(number, "of computing" in why) for number, why in endless.failures] == [(0, True)]
    said = keep(faulty, 3)
    assert "python -m tests.hostile faulty --seed 3 --case 2" in said[2]
    assert (tmp_path / "faulty-3-2").is_file()


@pytest.mark.parametrize("side", ["service", "handlers"])
def test_what_others_send_is_read_or_refused_in_bounded_memory_and_time(side: str) -> None:
    cases = {
        name: int(target.cases * _SCALE) for name, target in TARGETS.items() if target.side == side and target.cases
    }
    outcomes = run(_SEED, cases)
    assert all(TARGETS[name].seeds for name in cases)
    for outcome in outcomes:
        print(outcome)
        # A target of which nothing is read, or nothing refused, tries no reader.
        assert outcome.values
        assert outcome.refusals or outcome.target == "worker-message"
    assert [said for outcome in outcomes for said in keep(outcome, _SEED)] == []
