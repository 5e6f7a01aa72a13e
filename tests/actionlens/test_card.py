"""Model cards: what is written is read, and what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from actionlens.card import CardError, ColorOrder, ModelCard, list_models, read_card, write_card

DOCUMENT = {
    "name": "waves",
    "architecture": "conv3d",
    "weights": {"file": "w.safetensors", "sha256": "ab" * 32},
    "labels": ["hello", "goodbye"],
    "input": {"frames": 8, "height": 64, "width": 96, "color": "bgr", "resize": "letterbox"},
    "class_prior": [0.25, 0.75],
}
SIZE = {"frames": 8, "height": 64, "width": 96}
FLOW = {"frames": 2, "height": 16, "width": 16, "color": "flow"}


def folder(path: Path, **changes: object) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "card.yaml").write_text(yaml.safe_dump(DOCUMENT | changes))
    return path


def test_a_card_survives_the_disk(tmp_path: Path) -> None:
    card = ModelCard.model_validate(DOCUMENT)
    assert card.input.color is ColorOrder.BGR
    for each in (card, ModelCard.model_validate(DOCUMENT | {"input": FLOW})):
        write_card(each, tmp_path)
        assert read_card(tmp_path) == each


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "Waves!"}, "name: "),
        ({"labels": ["one"]}, "labels: "),
        ({"weights": {"file": "../w.safetensors", "sha256": "ab" * 32}}, r"weights\.file: .*beside the card"),
        ({"weights": {"file": "w.pt", "sha256": "ab" * 32}}, r"weights\.file: "),
        ({"input": {"frames": 8, "height": 64, "width": 96, "std": [0, 1, 1]}}, r"input\.std: .*positive"),
        ({"input": SIZE | {"shorter": 128}}, "input: .*shorter: belongs to resize: crop, and it is stretch"),
        ({"input": SIZE | {"shorter": 60, "resize": "crop"}}, "input: .*shorter: 60 pixels do not fill 96 x 64"),
        ({"input": SIZE | {"sampling": "rate"}}, "input: .*rate and fps.* belong together"),
        ({"input": SIZE | {"fps": 15}}, "input: .*rate and fps.* belong together"),
        ({"input": SIZE | {"windows": 3, "sampling": "dense"}}, "input: .*3 do not share 8 frames"),
        ({"input": SIZE | {"windows": 2}}, "input: .*stretches of sampling: dense, span or rate, and it is uniform"),
        ({"input": FLOW | {"windows": 2, "sampling": "dense"}}, "input: .*motion from one window to the next"),
        ({"input": FLOW | {"frames": 1}}, "input: .*flow lies between two frames"),
        ({"input": FLOW | {"height": 15}}, "input: .*16 x 16 pixels or more"),
        ({"input": FLOW | {"mean": [0.5, 0.5, 0.5]}}, "input: .*leave mean and std out"),
        ({"input": FLOW | {"std": [0.5, 0.5, 0.5]}}, "input: .*leave mean and std out"),
        ({"input": SIZE | {"mean": [float("nan"), 0, 0]}}, r"input\.mean: .*finite"),
        ({"weights": {"file": "a\0.onnx", "sha256": "ab" * 32}}, r"weights\.file: "),
        ({"class_prior": [1.0]}, "1 numbers for 2 labels"),
        ({"learning_rate": 0.1}, "learning_rate: "),
    ],
)
def test_what_is_wrong_is_named_with_its_file(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(CardError, match=rf"card\.yaml: .*{message}"):
        read_card(folder(tmp_path, **change))


@pytest.mark.parametrize("content", [b"a: [", b"\xff\xfe\x00", b"", b"- 1"])
def test_what_is_no_card_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "card.yaml").write_bytes(content)
    with pytest.raises(CardError, match=r"card\.yaml"):
        read_card(tmp_path)


def test_a_store_lists_its_models_once_each(tmp_path: Path) -> None:
    folder(tmp_path / "b", name="beta")
    folder(tmp_path / "a", name="alpha")
    (tmp_path / "notes").mkdir()
    assert {name: path.name for name, path in list_models(tmp_path).items()} == {"alpha": "a", "beta": "b"}
    folder(tmp_path / "c", name="alpha")
    with pytest.raises(CardError, match="'alpha' is already used"):
        list_models(tmp_path)
