"""Keras models in HDF5 files, written here by hand: what they compute here is what Keras's own layouts say."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from actionlens.card import read_card
from handlers.engine.engine import ClipAnswer, ClipRequest, Engine
from handlers.errors import ModelError
from handlers.importing.checkpoint import import_checkpoint, import_model
from tests.handlers import networks

Config = dict[str, Any]
Weights = dict[str, dict[str, NDArray[np.float32]]]


def layers() -> tuple[list[Config], Weights]:
    """Two convolutions, the second without pooling, a map of 4 x 4 x 5, an LSTM of 6, three classes."""
    random = np.random.default_rng(0)

    def draw(*shape: int) -> NDArray[np.float32]:
        return random.normal(0, 0.5, shape).astype(np.float32)

    def frame(kind: str, name: str, **options: Any) -> Config:
        inner = {"class_name": kind, "config": {"name": f"inner_{name}", "data_format": "channels_last", **options}}
        return {"class_name": "TimeDistributed", "config": {"name": name, "layer": inner}}

    convolution = {
        "kernel_size": [3, 3],
        "strides": [1, 1],
        "padding": "same",
        "dilation_rate": [1, 1],
        "groups": 1,
        "activation": "relu",
        "use_bias": True,
    }
    lstm = {"units": 6, "activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True}
    first = frame("Conv2D", "a", filters=4, **convolution)
    first["config"]["batch_input_shape"] = [None, 5, 8, 8, 3]
    made = [
        first,
        frame("MaxPooling2D", "b", pool_size=[2, 2], strides=[2, 2], padding="valid"),
        frame("Dropout", "c", rate=0.25),
        frame("Conv2D", "d", filters=5, **convolution),
        frame("Flatten", "e"),
        {"class_name": "LSTM", "config": {"name": "f", "go_backwards": False, "return_sequences": False, **lstm}},
        {"class_name": "Dense", "config": {"name": "g", "units": 3, "activation": "softmax", "use_bias": True}},
    ]
    weights: Weights = {
        "a": {"kernel": draw(3, 3, 3, 4), "bias": draw(4)},
        "d": {"kernel": draw(3, 3, 4, 5), "bias": draw(5)},
        "f": {"kernel": draw(80, 24), "recurrent_kernel": draw(6, 24), "bias": draw(24)},
        "g": {"kernel": draw(6, 3), "bias": draw(3)},
    }
    return made, weights


def write(path: Path, change: Callable[[list[Config]], None] = lambda _: None, kind: str = "Sequential") -> Path:
    made, weights = layers()
    change(made)
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": kind, "config": {"name": "s", "layers": made}})
        for layer in made:
            name = layer["config"]["name"]
            group = file.create_group(f"model_weights/{name}")
            group.attrs["weight_names"] = [f"{name}/{short}:0" for short in weights.get(name, {})]
            for short, values in weights.get(name, {}).items():
                group.create_dataset(f"{name}/{short}:0", data=values)
    return path


def convolved(x: NDArray[Any], kernel: NDArray[Any], bias: NDArray[Any]) -> NDArray[Any]:
    """[H, W, C] by a 3 x 3 kernel [3, 3, C, K], zeros around, ReLU."""
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    height, width = x.shape[:2]
    parts = [padded[i : i + height, j : j + width] @ kernel[i, j] for i in range(3) for j in range(3)]
    return np.maximum(sum(parts) + bias, 0)


def as_keras_does(clip: NDArray[np.uint8], weights: Weights) -> NDArray[Any]:
    """Logits of uint8 RGB [T, 8, 8, 3] by Keras's layouts: channels last, gates i, f, c, o."""
    hidden = cell = np.zeros(6)
    for picture in clip[..., ::-1] / 255.0:
        x = convolved(picture, **weights["a"])
        x = x.reshape(4, 2, 4, 2, 4).max((1, 3))
        x = convolved(x, **weights["d"]).reshape(-1)
        own = weights["f"]
        i, f, c, o = np.split(x @ own["kernel"] + hidden @ own["recurrent_kernel"] + own["bias"], 4)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        cell = f * cell + i * np.tanh(c)
        hidden = o * np.tanh(cell)
    return hidden @ weights["g"]["kernel"] + weights["g"]["bias"]


def test_a_keras_file_answers_as_keras_would(tmp_path: Path) -> None:
    made = import_checkpoint("cnn-lstm", write(tmp_path / "m.h5"), tmp_path / "store")
    card = read_card(made.folder)
    assert card.arguments == {"channels": [4, 5], "pools": [2, 1], "hidden": 6, "size": 8}
    assert (card.input.frames, card.input.height, card.input.width, card.input.color) == (5, 8, 8, "bgr")
    clip = networks.clip(3, 5, 8, 8)
    (answer,) = Engine.load(made.folder).explain([ClipRequest(clip)])
    assert isinstance(answer, ClipAnswer)
    np.testing.assert_allclose(answer.logits, as_keras_does(clip, layers()[1]), rtol=1e-4, atol=1e-5)


def test_a_card_may_leave_the_arguments_to_the_file_but_not_contradict_it(tmp_path: Path) -> None:
    document: dict[str, Any] = {
        "name": "mine",
        "architecture": "cnn-lstm",
        "labels": ["a", "b", "c"],
        "input": {"frames": 5, "height": 8, "width": 8, "color": "bgr"},
    }
    weights, card = write(tmp_path / "m.hdf5"), tmp_path / "card.yaml"
    card.write_text(yaml.safe_dump(document))
    assert read_card(import_model(card, weights, tmp_path / "store").folder).arguments["pools"] == [2, 1]
    card.write_text(yaml.safe_dump(document | {"arguments": {"pools": [1, 2]}}))
    with pytest.raises(ModelError, match=r"arguments: the card has \{'pools': \[1, 2\]\}"):
        import_model(card, weights, tmp_path / "other")


def _ended(activation: object, *behind: Config) -> Callable[[list[Config]], None]:
    """Another activation of the last layer, and layers behind it."""

    def change(made: list[Config]) -> None:
        made[-1]["config"]["activation"] = activation
        made.extend(behind)

    return change


SOFTMAX: Config = {"class_name": "Softmax", "config": {"name": "h", "axis": -1}}
ACTIVATION: Config = {"class_name": "Activation", "config": {"name": "h", "activation": "softmax"}}
SIGMOID: Config = {"class_name": "Activation", "config": {"name": "h", "activation": "sigmoid"}}


@pytest.mark.parametrize(
    ("activation", "behind", "said"),
    [("softmax", [], True), ("linear", [], False), (None, [SOFTMAX], True), ("linear", [ACTIVATION], True)],
)
def test_the_softmax_of_the_classes_is_left_out_and_said(
    tmp_path: Path, activation: str | None, behind: list[Config], said: bool
) -> None:
    made = import_checkpoint("cnn-lstm", write(tmp_path / "m.h5", _ended(activation, *behind)), tmp_path / "store")
    assert sum("softmax at its end is left out" in note for note in made.notes) == int(said)
    clip = networks.clip(3, 5, 8, 8)
    (answer,) = Engine.load(made.folder).explain([ClipRequest(clip)])
    assert isinstance(answer, ClipAnswer)
    np.testing.assert_allclose(answer.logits, as_keras_does(clip, layers()[1]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("activation", "behind", "message"),
    [
        ("sigmoid", [], "layer 'g': activation is 'sigmoid', cnn-lstm has 'softmax' or none"),
        ("linear", [SIGMOID], "layer 'h': activation is 'sigmoid'"),
        ("relu", [], "layer 'g': activation is 'relu'"),
        ("softmax", [SOFTMAX], "more than one softmax at its end"),
    ],
)
def test_scores_that_are_no_softmax_are_refused(
    tmp_path: Path, activation: str, behind: list[Config], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        import_checkpoint("cnn-lstm", write(tmp_path / "m.h5", _ended(activation, *behind)), tmp_path / "store")


def _set(place: int, **options: Any) -> Callable[[list[Config]], None]:
    def change(made: list[Config]) -> None:
        config = made[place]["config"]
        (config["layer"]["config"] if "layer" in config else config).update(options)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set(5, recurrent_activation="hard_sigmoid"), "layer 'f': recurrent_activation is 'hard_sigmoid'"),
        (_set(0, activation="elu"), "layer 'a': activation is 'elu', cnn-lstm has 'relu'"),
        (_set(1, pool_size=[3, 2]), "layer 'b' pools"),
        (lambda made: made[2]["config"]["layer"].update(class_name="Normalization"), "layer 'c' is a Normalization"),
        (lambda made: made[0]["config"].update(batch_input_shape=[None, 5, 8, 9, 3]), r"takes \[5, 8, 9, 3\]"),
        (lambda made: made.pop(4), "has Conv2D, MaxPooling2D, Conv2D, LSTM, Dense"),
        (lambda made: made[0]["config"].pop("batch_input_shape"), "does not say which clips it takes"),
        (lambda made: made[3]["config"]["layer"]["config"].pop("filters"), "not described as Keras does: .*filters"),
    ],
)
def test_what_a_file_has_otherwise_is_named(
    tmp_path: Path, change: Callable[[list[Config]], None], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        import_checkpoint("cnn-lstm", write(tmp_path / "m.h5", change), tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_values_that_are_not_in_the_file_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "huge.h5")
    with h5py.File(path, "r+") as file:
        del file["model_weights/f/f/kernel:0"]
        file["model_weights/f"].create_dataset("f/kernel:0", shape=(2**40, 24), dtype="f4", chunks=(1024, 24))
    with pytest.raises(ModelError, match=r"kernel:0 would take .* MB, the file holds 0\.0 MB"):
        import_checkpoint("cnn-lstm", path, tmp_path / "store")
    path = write(tmp_path / "link.h5")
    with h5py.File(write(tmp_path / "other.h5"), "r") as other:
        shape = other["model_weights/f/f/kernel:0"].shape
    with h5py.File(path, "r+") as file:
        del file["model_weights/f/f/kernel:0"]
        file["model_weights/f/f/kernel:0"] = h5py.ExternalLink("other.h5", "model_weights/f/f/kernel:0")
    with pytest.raises(ModelError, match="kernel:0 lies in another file"):
        import_checkpoint("cnn-lstm", path, tmp_path / "store")
    with h5py.File(path, "r+") as file:
        del file["model_weights/f/f/kernel:0"]
        raw = [(str(write(tmp_path / "raw.h5")), 0, h5py.h5f.UNLIMITED)]
        file["model_weights/f"].create_dataset("f/kernel:0", shape=shape, dtype="f4", external=raw)
    with pytest.raises(ModelError, match="kernel:0 lies in another file"):
        import_checkpoint("cnn-lstm", path, tmp_path / "store")


def test_files_that_are_no_such_model_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="holds a Functional model"):
        import_checkpoint("cnn-lstm", write(tmp_path / "f.h5", kind="Functional"), tmp_path / "store")
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_group("model_weights")
    with pytest.raises(ModelError, match="holds weights alone"):
        import_checkpoint("cnn-lstm", tmp_path / "w.h5", tmp_path / "store")
    (tmp_path / "d.h5").write_bytes(b"not HDF5")
    with pytest.raises(ModelError, match=r"d\.h5: cannot be read as a Keras model"):
        import_checkpoint("cnn-lstm", tmp_path / "d.h5", tmp_path / "store")
    with pytest.raises(ModelError, match=r"none\.h5: cannot be read"):
        import_checkpoint("cnn-lstm", tmp_path / "none.h5", tmp_path / "store")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ModelError, match=r"need h5py: pip install 'actionlens\[keras\]'"):
        import_checkpoint("cnn-lstm", tmp_path / "d.h5", tmp_path / "store")
