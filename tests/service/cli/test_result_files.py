from __future__ import annotations

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from actionlens.tensors import to_tensor
from actionlens.v1 import answer_pb2, explanation_pb2
from service.cli.result_files import result_names, write_results
from service.client.results import Result
from service.rendering.json_document import answer_document
from service.settings import Limits
from tests.service.client.numbered_video import write_video

USED = [0, 3, 6, 9]


@pytest.fixture
def result() -> Result:
    values = np.zeros((2, 6, 8), np.float32)
    values[1, 2, 3] = 2.5
    score = explanation_pb2.ClassScore(index=0, label="left", logit=0.1, probability=0.5)
    saliency = explanation_pb2.SaliencyVolume(
        values=to_tensor(values), mask=to_tensor(values > 0), frame_positions=[0.5, 2.5]
    )
    heat = explanation_pb2.Explanation(method="selective-relevance", target=score, saliency=saliency)
    heat.quality.motion_share = 0.0
    heat.provenance.parameters["threshold"] = 4.0
    per_frame = explanation_pb2.Explanation(
        method="esv", target=score, frame_attribution=explanation_pb2.FrameAttribution(values=to_tensor([1, 2, 3, 4]))
    )
    return Result(
        answer_pb2.Answer(
            model="m",
            version="1",
            prediction=explanation_pb2.Prediction(top=[score], logits=to_tensor([0.1, -0.1])),
            explanations=[heat, per_frame],
            frames=answer_pb2.FrameReport(
                used=USED,
                timestamps=[0.0, 0.3, 0.6, 0.9],
                effective_fps=10 / 3,
                source_width=64,
                source_height=48,
                placement=answer_pb2.Placement(width=16, height=12, frame_width=16, frame_height=12),
            ),
            level=answer_pb2.EXPLANATION_LEVEL_SELECTIVE_RELEVANCE,
        )
    )


def test_a_document_has_everything_but_the_arrays(result: Result) -> None:
    document, arrays = answer_document(result.message)
    assert sorted(arrays) == ["esv", "logits", "selective-relevance", "selective-relevance.mask", "timestamps", "used"]
    np.testing.assert_array_equal(arrays["used"], USED)
    assert arrays["selective-relevance"].argmax() == np.ravel_multi_index((1, 2, 3), (2, 6, 8))
    assert arrays["selective-relevance.mask"].sum() == 1
    np.testing.assert_allclose(arrays["logits"], [0.1, -0.1], rtol=1e-6)
    text = json.dumps(document)
    heat, per_frame = json.loads(text)["explanations"]
    assert heat["saliency"]["values"] == {"npz": "selective-relevance", "shape": [2, 6, 8]}
    assert per_frame["frame_attribution"]["values"]["npz"] == "esv"
    # Zeros are said, floats are as short as they were written, whole numbers are numbers.
    assert heat["quality"] == {"motion_share": 0.0, "gap_left_out": ""}
    assert heat["target"] == {"index": 0, "label": "left", "logit": 0.1, "probability": 0.5}
    assert heat["provenance"]["parameters"] == {"threshold": 4.0}
    assert document["frames"]["used"] == USED
    assert document["level"] == "EXPLANATION_LEVEL_SELECTIVE_RELEVANCE"


def test_a_document_has_the_details_of_a_job(result: Result) -> None:
    message = answer_pb2.Answer()
    message.CopyFrom(result.message)
    entry = message.explanations[1]
    entry.arrays["marginals"].CopyFrom(to_tensor([[1, 2], [3, 4]]))
    entry.measures["efficiency_gap"] = 0.25
    entry.notes.append("exact")
    entry.curves.add(name="running score", x_name="frames seen", x=[0, 1], y=[0.5, 0.75], unit="probability")
    entry.frame_attribution.unit = "log-probability"
    document, arrays = answer_document(message)
    found = json.loads(json.dumps(document))["explanations"][1]
    assert found["arrays"] == {"marginals": {"npz": "esv.marginals", "shape": [2, 2]}}
    assert arrays["esv.marginals"].tolist() == [[1, 2], [3, 4]]
    assert found["measures"] == {"efficiency_gap": 0.25}
    assert found["notes"] == ["exact"]
    assert found["curves"] == [
        {"name": "running score", "x_name": "frames seen", "x": [0, 1], "y": [0.5, 0.75], "unit": "probability"}
    ]
    assert found["frame_attribution"]["unit"] == "log-probability"


@pytest.mark.parametrize("kind", ["video", "folder"])
def test_files_of_a_clip(result: Result, tmp_path: Path, kind: str) -> None:
    clip = write_video(tmp_path / "wave.mp4", 10)
    if kind == "folder":
        folder = tmp_path / "pictures"
        folder.mkdir()
        for number in range(10):
            cv2.imwrite(str(folder / f"{number}.png"), np.full((48, 64, 3), 20 * number, np.uint8))
        clip = folder
    out = tmp_path / "new" / "out"
    reported: list[str] = []
    written = write_results(out, "wave", clip, result, Limits(), reported.append)
    names = ["wave.selective-relevance.mp4", "wave.esv.mp4", "wave.sheet.png", "wave.json", "wave.npz"]
    assert [path.name for path in written] == names
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    assert all(any(name in line for line in reported) for name in names)

    for name in names[:2]:
        with av.open(str(out / name)) as film:
            assert film.streams.video[0].codec_context.codec.canonical_name == "h264"
            assert sum(1 for _ in film.decode(video=0)) == len(USED)
    sheet = cv2.imread(str(out / names[2]))
    assert sheet is not None
    assert sheet.shape[1] > 1000
    document = json.loads((out / names[3]).read_text(encoding="utf-8"))
    with np.load(out / names[4], allow_pickle=False) as arrays:
        keys = set(arrays.files)
    referred = {document["prediction"]["logits"]["npz"], *(_values(entry)["npz"] for entry in document["explanations"])}
    assert referred <= keys


def _values(entry: dict[str, dict[str, dict[str, str]]]) -> dict[str, str]:
    return (entry.get("saliency") or entry["frame_attribution"])["values"]


def test_what_was_there_is_replaced_only_by_a_whole_file(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write_video(tmp_path / "wave.mp4", 10)
    out = tmp_path / "out"
    out.mkdir()
    (out / "wave.npz").write_bytes(b"before")
    (out / "wave.json").write_bytes(b"before")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="No space"):
        write_results(out, "wave", clip, result, Limits(), lambda _: None)
    assert (out / "wave.npz").read_bytes() == b"before"
    assert json.loads((out / "wave.json").read_text(encoding="utf-8"))["model"] == "m"
    # Nothing half-written stays.
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_clips_of_one_name_get_different_files(tmp_path: Path) -> None:
    for folder in ("a", "b", "c.d"):
        (tmp_path / folder).mkdir()
    for path in ("a/x.mp4", "b/x.avi"):
        (tmp_path / path).touch()
    clips = [tmp_path / "a/x.mp4", tmp_path / "b/x.avi", tmp_path / "c.d"]
    assert result_names(clips) == ["x", "x-2", "c.d"]
