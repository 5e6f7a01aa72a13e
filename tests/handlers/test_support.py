"""The page of what explains what says what the methods say, and they do what they say."""

from __future__ import annotations

import json

import pytest

from benchmarks.support import TABLE, written
from handlers.models import families
from handlers.support import cases, declared, main, tried


def test_the_page_is_what_the_methods_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert set(rows) == set(cases())
    assert rows["motion-cnn"]["atr"] == ""
    assert "features of single ones" in rows["motion-cnn"]["esv"]
    assert TABLE.read_text(encoding="utf-8") == written(rows), "run `python -m benchmarks.support`"


@pytest.mark.parametrize("name", ["conv3d", "i3d-inception, optical flow", "trn", "onnx, not converted"])
def test_the_methods_do_what_they_say(name: str) -> None:
    model = cases()[name]()
    said = declared(model)
    assert tried(model) == said
    assert {reason == "" for reason in said.values()} == {True, False}


def test_small_networks_are_small() -> None:
    for entry in families().values():
        if entry.network is None:
            network = entry.build(classes=3, **entry.small.arguments)
            assert sum(tensor.numel() for tensor in network.parameters()) < 300_000, f"{entry.name}: give it a Small"
