"""A Keras LRCN as tensors and arguments of the family cnn-lstm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from actionlens.card import ColorOrder, Input, SamplingRule
from handlers.errors import ModelError
from handlers.models.family import Checkpoint
from handlers.tensor_files.keras import SUFFIXES, KerasLayer, read_layers

_OPTIONS: dict[str, dict[str, Any]] = {
    "Conv2D": {
        "kernel_size": [3, 3],
        "strides": [1, 1],
        "padding": "same",
        "data_format": "channels_last",
        "dilation_rate": [1, 1],
        "groups": 1,
        "activation": "relu",
        "use_bias": True,
    },
    "MaxPooling2D": {"padding": "valid", "data_format": "channels_last"},
    "LSTM": {
        "activation": "tanh",
        "recurrent_activation": "sigmoid",
        "use_bias": True,
        "go_backwards": False,
        "return_sequences": False,
    },
    "Dense": {"use_bias": True},
    "Dropout": {},
    "Flatten": {},
    "Softmax": {"axis": -1},
    "Activation": {},
}
"""Settings that the layers of such a model must have; others are free or show in the weights' shapes."""

_ENDS = {"softmax": "softmax", "linear": "", None: ""}
"""Activations behind the classes, and what of them is left out."""


def read_lrcn(path: Path) -> Checkpoint | None:
    """The tensors of a Keras HDF5 file under the family's names, with its arguments and input; None: another file.

    The file does not say how pixels were prepared: blue, green, red over 255 is assumed, as OpenCV reads images.
    Raises ModelError naming the layer or option in which the file differs from such a network.
    """
    if path.suffix not in SUFFIXES:
        return None
    shape, layers = read_layers(path)
    try:
        return _checkpoint(path, shape, layers)
    except ModelError:
        raise
    except (LookupError, TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        raise ModelError(
            f"{path}: its layers are not described as Keras does: {type(error).__name__}: {error}"
        ) from error


def _checkpoint(path: Path, shape: Sequence[int], layers: Sequence[KerasLayer]) -> Checkpoint:
    if len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3:
        raise ModelError(f"{path}: takes {list(shape)}; cnn-lstm takes frames of equal sides, [T, S, S, 3]")
    for layer in layers:
        _check(path, layer)
    frames, size = shape[0], shape[1]
    work = [layer for layer in layers if layer.kind != "Dropout"]
    note = _ending(path, work)
    work = [layer for layer in work if layer.kind not in ("Softmax", "Activation")]
    order = [layer.kind for layer in work]
    convolutions = [layer for layer in work if layer.kind == "Conv2D"]
    pools = [_pool(path, work[index + 1 :]) for index, kind in enumerate(order) if kind == "Conv2D"]
    expected = [kind for pool in pools for kind in ("Conv2D", "MaxPooling2D")[: 1 + (pool > 1)]]
    if not pools or order != [*expected, "Flatten", "LSTM", "Dense"]:
        raise ModelError(f"{path}: has {', '.join(order)}; cnn-lstm has Conv2D and MaxPooling2D, Flatten, LSTM, Dense")
    lstm, dense = work[-2:]
    state: dict[str, Tensor] = {}
    for number, layer in enumerate(convolutions, start=1):
        state[f"conv{number}.weight"] = layer.weights["kernel"].permute(3, 2, 0, 1)
        state[f"conv{number}.bias"] = layer.weights["bias"]
        size //= pools[number - 1]
    hidden, channels = lstm.options["units"], convolutions[-1].options["filters"]
    # Keras flattens a map as [height, width, channels]; its gates have torch's order.
    of_map = lstm.weights["kernel"].reshape(size, size, channels, 4 * hidden)
    state["lstm.weight_ih"] = of_map.permute(3, 2, 0, 1)
    state["lstm.weight_hh"] = lstm.weights["recurrent_kernel"].T[:, :, None, None]
    state["lstm.bias"] = lstm.weights["bias"]
    state["classifier.weight"], state["classifier.bias"] = dense.weights["kernel"].T, dense.weights["bias"]
    arguments = {
        "channels": [layer.options["filters"] for layer in convolutions],
        "pools": pools,
        "hidden": hidden,
        "size": shape[1],
    }
    read = Input(frames=frames, height=shape[1], width=shape[2], color=ColorOrder.BGR, sampling=SamplingRule.STARTS)
    return Checkpoint(state, arguments, read, notes=(note,) if note else ())


def _ending(path: Path, work: Sequence[KerasLayer]) -> str:
    """What is to be said about the activations behind the classes, which the family does not have.

    Raises ModelError for another than softmax: no logits give its scores as their softmax.
    """
    found = list[str]()
    for index, layer in enumerate(work):
        if layer.kind in ("Softmax", "Activation") and work[index - 1].kind not in ("Dense", "Softmax", "Activation"):
            raise ModelError(f"{path}: layer {layer.name!r} is a {layer.kind}; cnn-lstm has it at its end alone")
        if layer.kind in ("Dense", "Softmax", "Activation"):
            name = "softmax" if layer.kind == "Softmax" else layer.options.get("activation", "linear")
            if not isinstance(name, str | None) or name not in _ENDS:
                raise ModelError(
                    f"{path}: layer {layer.name!r}: activation is {name!r}, cnn-lstm has 'softmax' or none: with "
                    "another, its scores are not the softmax of logits"
                )
            found += [_ENDS[name]] if _ENDS[name] else []
    if len(found) > 1:
        raise ModelError(f"{path}: has more than one softmax at its end, so its scores are not the softmax of logits")
    return "the softmax at its end is left out: explanations start at the logits" if found else ""


def _check(path: Path, layer: KerasLayer) -> None:
    if layer.kind not in _OPTIONS:
        raise ModelError(f"{path}: layer {layer.name!r} is a {layer.kind}; cnn-lstm has {', '.join(_OPTIONS)}")
    for option, wanted in _OPTIONS[layer.kind].items():
        if layer.options.get(option, wanted) != wanted:
            raise ModelError(
                f"{path}: layer {layer.name!r}: {option} is {layer.options[option]!r}, cnn-lstm has {wanted!r}"
            )


def _pool(path: Path, behind: Sequence[KerasLayer]) -> int:
    """How much the first of the layers behind a convolution shrinks the map; 1 where it is no pooling."""
    if not behind or behind[0].kind != "MaxPooling2D":
        return 1
    layer = behind[0]
    size, strides = layer.options["pool_size"], layer.options["strides"]
    if list(size) != list(strides) or size[0] != size[1]:
        raise ModelError(f"{path}: layer {layer.name!r} pools {size} every {strides}; cnn-lstm pools whole squares")
    return int(size[0])
