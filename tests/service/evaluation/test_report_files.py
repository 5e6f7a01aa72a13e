"""Tables as files, word for word."""

from __future__ import annotations

import io
import json

import numpy as np

from service.evaluation.evaluated_set import EvaluatedSet
from service.evaluation.report_files import clip_arrays, csv_text, markdown_text, report_document
from tests.service.evaluation.evaluated_clips import eight_clips, evaluated

CSV = """\
measure,value,method,better,unit,mean,sd,median,n,left_out,reasons
insertion,insertion,dtd,higher,%,25.0,7.0710678118654755,25.0,2,1,1 x constant map
insertion,insertion,random,higher,%,2.0,1.0,2.0,3,0,
insertion,tied,dtd,,%,0.0,0.0,0.0,2,1,1 x constant map
insertion,tied,random,,%,0.0,0.0,0.0,3,0,
"""

MARKDOWN = """\
# tiny 1

3 clips, of which the model has 1 of 2 right. Cells are mean ± standard deviation (clips).

> **Careful:** 1 clip has no result and is in no mean

> **Careful:** 3 clips show no significant difference, however large; take 6 or more

> **Careful:** insertion: not known whether it separates the exact mask from random; no clip has both

## insertion

| method | insertion (%, higher is better) | tied (%) |
|---|---|---|
| dtd | 25 ± 7.1 (2) | 0 ± 0 (2) |
| random | 2 ± 1 (3) | 0 ± 0 (3) |

## insertion by class

| method | mean over classes | mean | left | right |
|---|---|---|---|---|
| dtd | 25 | 25 | 30 (1) | 20 (1) |
| random | 1.5 | 1.5 | 2 (1) | 1 (1) |

## Comparisons

* insertion: no difference found between dtd and random (+23.5, 95 % +19 to +28, p = 0.5, 2 clips); it takes 6 clips \
or more

## Does each measure prefer the exact mask?

* insertion: not known whether it separates the exact mask from random; no clip has both

## Left out

* insertion of dtd: 1 of 3 clips left out: constant map

## Without a result

* d\\|d: \\*broken\\* &lt;b>

## Plots

![insertion.curves.png](insertion.curves.png)
"""


def some() -> EvaluatedSet:
    return EvaluatedSet(
        [
            evaluated("a", {"dtd": 20.0, "random": 1.0}, label=1, correct=False),
            evaluated("b", {"dtd": 30.0, "random": 2.0}, label=0),
            evaluated("c", {"dtd": "constant map", "random": 3.0}),
        ],
        {"d|d": "*broken*\n<b>"},
        labels=("left", "right"),
    )


def test_csv() -> None:
    assert csv_text(some()) == CSV


def test_markdown() -> None:
    assert markdown_text(some(), "tiny 1", ["insertion.curves.png"]) == MARKDOWN


def test_json_has_everything_and_no_number_that_json_lacks() -> None:
    document = report_document(some(), {"model": "tiny"})
    text = json.dumps(document, allow_nan=False)
    found = json.loads(text)
    assert found["model"] == "tiny"
    assert found["clips"] == [
        {"name": "a", "label": 1, "correct": False},
        {"name": "b", "label": 0, "correct": True},
        {"name": "c"},
    ]
    assert found["accuracy"] == 0.5
    assert found["forwards"] == 30
    assert found["failed"] == {"d|d": "*broken*\n<b>"}
    assert found["table"][0] == {
        "sd": 7.0710678118654755,
        "method": "dtd",
        "measure": "insertion",
        "value": "insertion",
        "better": "higher",
        "unit": "%",
        "mean": 25.0,
        "median": 25.0,
        "n": 2,
        "left_out": {"constant map": 1},
    }
    assert found["by_class"][0] == {
        "measure": "insertion",
        "value": "insertion",
        "method": "dtd",
        "weight": "",
        "mean_over_classes": 25.0,
        "mean": 25.0,
        "means": {"left": 30.0, "right": 20.0},
        "n": {"left": 1, "right": 1},
    }
    assert [curve["method"] for curve in found["curves"]] == ["dtd", "random"]
    # Of one clip there is no standard error.
    single = report_document(EvaluatedSet([evaluated("a", {"dtd": 20.0})]), {})
    assert single["curves"][0]["standard_error"] == [None, None]


def test_numbers_of_every_clip() -> None:
    arrays = clip_arrays(some())
    assert arrays["clips"].tolist() == ["a", "b", "c"]
    assert arrays["label"].tolist() == [1, 0, -1]
    np.testing.assert_array_equal(arrays["insertion/insertion/dtd"], [20, 30, np.nan])
    np.testing.assert_array_equal(arrays["insertion/insertion/random"], [1, 2, 3])
    np.testing.assert_array_equal(arrays["curves/insertion/insertion/dtd/x"], [0, 1])
    np.testing.assert_allclose(arrays["curves/insertion/insertion/dtd"], [[0, 0.2], [0, 0.3], [np.nan, np.nan]])
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]  # names are no options of it
    file.seek(0)
    with np.load(file, allow_pickle=False) as loaded:
        assert set(loaded.files) == set(arrays)


def test_the_order_in_which_clips_came_changes_nothing() -> None:
    clips = eight_clips()
    assert report_document(EvaluatedSet(clips), {})["table"] == report_document(EvaluatedSet(clips[::-1]), {})["table"]


def test_an_empty_set_has_an_empty_table() -> None:
    found = EvaluatedSet([], {"a": "broken"})
    assert csv_text(found).count("\n") == 1
    assert "a: broken" in markdown_text(found, "tiny")
    assert report_document(found, {})["accuracy"] is None
    assert clip_arrays(found)["clips"].shape == (0,)
