"""Partial uniform sampling: by hand, against single forwards, and where what suffices is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from handlers.engine.engine import ClipAnswer, ClipRequest, Engine, MethodCall
from handlers.evaluation.measure import LeftOut
from handlers.evaluation.measures.partial_sampling import (
    FixedWindowParameters,
    Outside,
    PartialSampling,
    PartialSamplingOfRows,
    RowWindowParameters,
    fixed_windows,
    held,
    partial_logits,
    row_windows,
)
from handlers.explainers.attribution import FrameAttribution, RelevanceMatrix
from handlers.models.action_model import ActionModel
from handlers.relevance import ForwardPass
from tests.handlers import networks
from tests.handlers.evaluation.subjects import subject


def local() -> ActionModel:
    """A time step per frame, each of which sees one frame before and one after its own."""
    return networks.model(arguments={"channels": [3], "hidden": []}, layer="relu1")


def test_frames_outside_a_window_show_its_ends_or_grey() -> None:
    clip = np.arange(5, dtype=np.uint8)[:, None, None, None].repeat(3, 3)
    assert held(clip, range(1, 3))[:, 0, 0, 0].tolist() == [1, 1, 2, 2, 2]
    assert held(clip, range(1, 3), "empty")[:, 0, 0, 0].tolist() == [128, 1, 2, 128, 128]
    assert clip[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]


def test_windows_are_centred_and_shifted_inside_the_clip() -> None:
    assert fixed_windows(range(5), 5, 3) == [range(0, 3), range(0, 3), range(1, 4), range(2, 5), range(2, 5)]
    assert fixed_windows([2], 5, 2) == [range(1, 3)]
    assert fixed_windows([0, 4], 5, 9) == [range(0, 5), range(0, 5)]
    for size in range(1, 7):
        for anchor, window in zip(range(6), fixed_windows(range(6), 6, size), strict=True):
            assert len(window) == size
            assert anchor in window
            assert 0 <= window.start < window.stop <= 6


def test_a_row_needs_its_own_window_and_all_frames_where_it_sums_to_nothing() -> None:
    matrix = torch.tensor([[1.0, 0, 0, 0], [0.2, 0.5, 0.3, 0], [1, 0, 0, -1]])
    assert row_windows(matrix, [0, 1, 2]) == [range(0, 1), range(0, 3), range(0, 4)]
    assert row_windows(matrix, [0, 1, 2], share=0.75)[1] == range(1, 3)


def test_only_the_row_of_its_own_window_counts_and_equal_windows_run_once() -> None:
    asked: list[Sequence[range]] = []

    def of_windows(windows: Sequence[range]) -> Tensor:
        """Row i of a window from s to e: (100 s + e, i)."""
        asked.append(windows)
        return torch.tensor([[[100.0 * w.start + w.stop, row] for row in range(3)] for w in windows])

    # Windows 0-2, 1-3, 0-2: rows (2, 0), (103, 1), (2, 2).
    found = partial_logits(of_windows, [range(0, 2), range(1, 3), range(0, 2)])
    assert found.tolist() == pytest.approx([107 / 3, 1])
    assert asked == [[range(0, 2), range(1, 3)]]
    with pytest.raises(ValueError, match="time steps"):
        partial_logits(of_windows, [range(0, 2)] * 4)


def one_by_one(model: ActionModel, clip: NDArray[np.uint8], windows: Sequence[range], outside: Outside) -> Tensor:
    """The definition, a forward for each time step."""
    rows = []
    for row, window in enumerate(windows):
        shown = clip.copy()
        for frame in range(len(clip)):
            if frame not in window:
                nearest = clip[window[0] if frame < window[0] else window[-1]]
                shown[frame] = nearest if outside == "hold" else 128
        rows.append(model.program.forward(model.prepare([shown]), (), relevance=False).frame_logits[0, row])
    return torch.stack(rows).mean(0)


@pytest.mark.parametrize("outside", ["hold", "empty"])
@pytest.mark.parametrize("coarse", [False, True])
def test_every_size_is_what_single_forwards_give(outside: Outside, coarse: bool) -> None:
    model = networks.model() if coarse else local()
    anchors = [0, 2, 4] if coarse else list(range(6))  # 3 steps of 6 frames lie at 0.5, 2.5 and 4.5: the earlier one
    one = subject(model=model)
    found = PartialSampling().measure(one, FixedWindowParameters(outside=outside))
    scores = next(curve for curve in found.curves if curve.unit == "probability")
    assert scores.x == (1, 2, 3, 4, 5, 6)
    for size, score in zip(range(1, 7), scores.y, strict=True):
        logits = one_by_one(model, one.clip, fixed_windows(anchors, 6, size), outside)
        assert score == pytest.approx(float(model.probabilities(logits)[one.target.index]), abs=1e-5)
        right = int(logits.argmax()) == one.target.index
        assert found.values[f"accuracy-{size}"].number == 100.0 * right
    assert scores.y[-1] == pytest.approx(one.probability, abs=1e-5)


def test_what_a_network_of_three_frames_needs_is_three_frames() -> None:
    one = subject(model=local())
    found = PartialSampling().measure(one, FixedWindowParameters())
    scores = next(curve for curve in found.curves if curve.unit == "probability")
    assert scores.y[2:] == pytest.approx([one.probability] * 4, abs=1e-5)
    assert scores.y[0] != pytest.approx(one.probability, abs=1e-4)
    assert next(iter(found.values)) == "sufficient-window"
    assert found.values["sufficient-window"].number <= 3
    # For a class that the network answers at no size nothing suffices.
    wrong = next(k for k in range(3) if k != one.target.index)
    never = PartialSampling().measure(subject(model=local(), target=wrong), FixedWindowParameters(sizes=(3, 6)))
    assert never.left_out == {"sufficient-window": "windows of 6 frames do not suffice"}
    assert [never.values[f"accuracy-{size}"].number for size in (3, 6)] == [0, 0]


def matrix(model: ActionModel, clip: NDArray[np.uint8], target: int, **parameters: object) -> RelevanceMatrix:
    (answer,) = Engine(model).explain([ClipRequest(clip, [MethodCall("atr", parameters)], target=target)])
    assert isinstance(answer, ClipAnswer)
    found = answer.explained[0].result
    assert isinstance(found, RelevanceMatrix), found
    return found


def test_rows_that_see_what_they_need_answer_as_the_whole_clip() -> None:
    model = local()
    one = next(s for s in (subject(model=model, clip=networks.clip(n)) for n in range(9)) if s.logits.max() > 0)
    rows = matrix(model, one.clip, one.target.index, share=1.0)
    found = PartialSamplingOfRows().measure(one, rows, RowWindowParameters(share=1.0))
    assert found.values["score"].number == pytest.approx(one.probability, abs=1e-5)
    assert found.values["accuracy"].number == 100
    assert found.values["mean-window"].number == pytest.approx(sum(rows.row_lengths) / 6)
    assert found.values["mean-window"].number <= 3

    less = PartialSamplingOfRows().measure(one, rows, RowWindowParameters(share=0.5))
    windows = row_windows(rows.values, rows.frame_positions, 0.5)
    assert less.values["score"].number == pytest.approx(
        float(model.probabilities(one_by_one(model, one.clip, windows, "hold"))[one.target.index]), abs=1e-5
    )


def test_what_has_no_rows_is_left_out_or_refused() -> None:
    bent = networks.model(arguments={"channels": [4], "hidden": [5]}, layer="relu1")
    for measure in (PartialSampling(), PartialSamplingOfRows()):
        assert "head is not linear" in str(measure.unsupported(bent))
        assert measure.unsupported(local()) is None
    with pytest.raises(LeftOut, match="no matrix"):
        PartialSamplingOfRows().measure(subject(), FrameAttribution(torch.ones(6)), RowWindowParameters())
    blocks = RelevanceMatrix(torch.ones(2, 2), (0.5, 3.5), torch.ones(2), (1, 1), 1.0, 1.0)
    with pytest.raises(LeftOut, match="blocks"):
        PartialSamplingOfRows().measure(subject(), blocks, RowWindowParameters())
    none = RelevanceMatrix(torch.ones(2, 6), (0.5, 3.5), -torch.ones(2), (0, 0), None, None, "rows sum to 0")
    with pytest.raises(LeftOut, match="rows sum to 0"):
        PartialSamplingOfRows().measure(subject(), none, RowWindowParameters())


def test_a_changed_clip_without_logits_per_step_leaves_the_clip_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ForwardPass, "no_frame_logits_of", lambda self, item: "its steps do not average")
    with pytest.raises(LeftOut, match="its steps do not average"):
        PartialSampling().measure(subject(model=local()), FixedWindowParameters())


def test_the_promised_forwards_are_those_that_run(monkeypatch: pytest.MonkeyPatch) -> None:
    one = subject(model=local())
    ran: list[int] = []
    forward = type(one.model.program).forward

    def counted(self: object, clip: Tensor, *rest: object, **named: object) -> object:
        ran.append(len(clip))
        return forward(self, clip, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(type(one.model.program), "forward", counted)
    for parameters in (FixedWindowParameters(), FixedWindowParameters(sizes=(1, 3, 99))):
        ran.clear()
        PartialSampling().measure(one, parameters)
        assert sum(ran) == PartialSampling().forwards(one.model, 6, parameters)
