"""Two evaluations compared."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from service.errors import InvalidArgument
from service.evaluation.earlier_evaluation import EarlierEvaluation, compare_sets, compared_sets, earlier_evaluation
from service.evaluation.evaluated_set import EvaluatedSet
from service.evaluation.report_files import clip_arrays, markdown_text, report_document
from tests.service.evaluation.evaluated_clips import eight_clips, evaluated

KEY = "insertion/insertion/"


def test_numbers_of_both_are_compared_and_baselines_are_not() -> None:
    # Of dtd 60 .. 67 here; 40, 41, 42 there: Welch's test by hand: means 63.5 and 41, variances 6 / 8 and 1 / 3,
    # t = 22.5 / sqrt(1.0833) = 21.6. Of grad-cam 40 .. 47 in both.
    earlier = EarlierEvaluation(
        "other 2",
        {
            KEY + "dtd": np.array([40.0, 41, 42, np.nan]),
            KEY + "grad-cam": np.arange(40.0, 48),
            KEY + "random": np.arange(9.0),
            KEY + "esv": np.arange(9.0),
        },
    )
    dtd, grad_cam = compare_sets(EvaluatedSet(eight_clips()), earlier)
    assert (dtd.method, dtd.mean, dtd.n, dtd.earlier_mean, dtd.earlier_n) == ("dtd", 63.5, 8, 41.0, 3)
    assert dtd.p < 1e-6
    assert dtd.adjusted == pytest.approx(2 * dtd.p)
    assert (grad_cam.method, grad_cam.p, grad_cam.adjusted) == ("grad-cam", pytest.approx(1), 1)
    assert compared_sets([dtd, grad_cam], "other 2") == [
        "insertion of dtd: 63.5 here, 41 with other 2 (p < 0.001, 8 and 3 clips)",
        "no difference found in 1 other number",
    ]


def test_what_cannot_be_compared_is_no_comparison() -> None:
    one = EvaluatedSet([evaluated("a", {"dtd": 20.0})])
    assert compare_sets(one, EarlierEvaluation("other 2", {KEY + "dtd": np.arange(3.0)})) == []
    flat = EvaluatedSet([evaluated(name, {"dtd": 20.0}) for name in "ab"])
    assert compare_sets(flat, EarlierEvaluation("other 2", {KEY + "dtd": np.full(3, 1.0)})) == []
    assert compared_sets([], "other 2") == ["no number is in both"]


def test_the_files_of_an_evaluation_are_read_again(tmp_path: Path) -> None:
    found = EvaluatedSet(eight_clips())
    (tmp_path / "table.json").write_text(json.dumps(report_document(found, {"model": "tiny", "version": "1"})))
    np.savez(tmp_path / "clips.npz", **clip_arrays(found))
    earlier = earlier_evaluation(tmp_path)
    assert earlier.name == "tiny 1"
    assert earlier.numbers[KEY + "dtd"].tolist() == [60, 61, 62, 63, 64, 65, 66, 67]
    assert {own.p for own in compare_sets(found, earlier)} == {1.0}
    document = report_document(found, {}, earlier)
    assert document["against"]["model"] == "tiny 1"
    assert [own["method"] for own in document["against"]["comparisons"]] == ["dtd", "grad-cam"]
    assert "## Against tiny 1\n\n* no difference found in 2 numbers\n" in markdown_text(found, "x", earlier=earlier)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"model": "a", "version": "1"}'])
def test_a_folder_without_an_evaluation_says_how_to_make_one(tmp_path: Path, content: str) -> None:
    if content:
        (tmp_path / "table.json").write_text(content)
    with pytest.raises(InvalidArgument, match="actionlens evaluate -o DIR") as caught:
        earlier_evaluation(tmp_path)
    assert caught.value.field == "against"
