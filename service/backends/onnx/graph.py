"""One exported graph: its own description, and running those parts of it that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.json_format import ParseDict, ParseError
from numpy.typing import NDArray

from actionlens.card import Scores
from actionlens.documents import parse_json
from actionlens.v1 import model_pb2
from service.backends.onnx.time_shares import Shares
from service.errors import Unavailable

Outputs = dict[str, NDArray[Any]]

_METADATA = "actionlens"
# Sessions for different sets of outputs. Each has copies of the weights that it needs.
_MOST_PARTS = 8


@dataclass(frozen=True)
class Held:
    """An explanation that a graph computes. parameters: those it was exported with. layer: empty for input resolution.
    frame_positions: of its time steps."""

    parameters: dict[str, Any]
    layer: str
    frame_positions: tuple[float, ...]


class Part:
    """A session of the part of a graph that some of its outputs need."""

    def __init__(self, session: Any, names: tuple[str, ...]) -> None:
        self._session = session
        self._names = names

    def run(self, clips: NDArray[np.uint8], targets: NDArray[np.int64]) -> Outputs:
        """The outputs by name, each with a leading axis of clips.

        clips: uint8 RGB [B, T, H, W, 3] at the model's size. targets: [B], the class to explain; -1 for the likeliest.
        """
        found = self._session.run(list(self._names), {"clip": clips, "target": targets})
        return dict(zip(self._names, found, strict=True))


class Graph:
    """A graph for onnxruntime. model: its description for clients. held: its explanations, by method. shares: how the
    time of its runs divides."""

    def __init__(self, path: Path, threads: int) -> None:
        """Raises Unavailable when onnxruntime is absent, cannot load the file, or the file is no such export."""
        try:
            import onnx
            import onnx.utils
            import onnxruntime
        except ImportError as error:
            raise Unavailable(
                "the onnx backend needs onnx and onnxruntime: pip install 'actionlens[onnx]'", reason="MODEL_UNFIT"
            ) from error
        self.path = path
        self.shares = Shares()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._open: Callable[[Path | bytes], Any] = partial(
            onnxruntime.InferenceSession, sess_options=options, providers=["CPUExecutionProvider"]
        )
        try:
            whole = self._open(path)
            self._extractor = onnx.utils.Extractor(onnx.load(path))
        except Exception as error:  # their own, of many classes
            said = (str(error) or type(error).__name__).splitlines()[0]
            raise Unavailable(f"{path}: {said}", reason="MODEL_UNFIT") from error
        try:
            about = parse_json(whole.get_modelmeta().custom_metadata_map[_METADATA])
            self.model = ParseDict(about["model"], model_pb2.Model())
            self.one_by_one = about["card"].get("scores") == Scores.SIGMOID
            """Whether a class's probability is its logit's sigmoid, else the softmax of all."""
            self.held = {
                name: Held(entry["parameters"], entry["layer"], tuple(entry["frame_positions"]))
                for name, entry in about["explanations"].items()
            }
        except (KeyError, ValueError, TypeError, AttributeError, ParseError) as error:
            raise Unavailable(
                f"{path}: was not written by this version of `actionlens models export`; export the model again",
                reason="MODEL_UNFIT",
            ) from error
        self._inputs = [entry.name for entry in whole.get_inputs()]
        self._outputs = [output.name for output in whole.get_outputs()]
        self.takes_several = not isinstance(whole.get_inputs()[0].shape[0], int)
        """True when a run may have more clips than one."""
        self._made = lru_cache(_MOST_PARTS)(self._make)

    @property
    def name(self) -> str:
        """The model's."""
        return self.model.name

    def part(self, wanted: Collection[str]) -> Part:
        """Return the part that computes those of the wanted outputs that the graph has.

        A session runs all of its graph, whichever outputs it is asked for, so each set of outputs has a session of its
        own, made when it is first wanted: that takes up to a second.
        """
        return self._made(tuple(name for name in wanted if name in self._outputs))

    def _make(self, names: tuple[str, ...]) -> Part:
        model = self._extractor.extract_model(self._inputs, list(names))
        return Part(self._open(model.SerializeToString()), names)
