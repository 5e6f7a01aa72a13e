"""One exported graph: what it says about itself, and running it."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.json_format import ParseDict, ParseError
from numpy.typing import NDArray

from actionlens.v1 import model_pb2
from service.backends.onnx.shares import Shares
from service.errors import Unavailable

Outputs = dict[str, NDArray[Any]]

_METADATA = "actionlens"


@dataclass(frozen=True)
class Held:
    """An explanation that a graph computes. parameters: those it was exported with. layer: empty for input resolution.
    frame_positions: of its time steps."""

    parameters: dict[str, Any]
    layer: str
    frame_positions: tuple[float, ...]


class Graph:
    """A graph in an onnxruntime session. model: its description for clients. held: its explanations, by method. shares:
    how the time of its runs divides."""

    def __init__(self, path: Path, threads: int) -> None:
        """Raises Unavailable when onnxruntime is absent, cannot load the file, or the file is no such export."""
        try:
            import onnxruntime
        except ImportError as error:
            raise Unavailable(
                "the onnx backend needs onnxruntime: pip install 'actionlens[onnx]'", reason="MODEL_UNFIT"
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.path = path
        self.shares = Shares()
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own, of many classes
            raise Unavailable(f"{path}: {str(error).splitlines()[0]}", reason="MODEL_UNFIT") from error
        # A graph holds more than is asked for at a time.
        self._run_options = onnxruntime.RunOptions()
        self._run_options.only_execute_path_to_fetches = True
        try:
            about = json.loads(self._session.get_modelmeta().custom_metadata_map[_METADATA])
            self.model = ParseDict(about["model"], model_pb2.Model())
            self.held = {
                name: Held(entry["parameters"], entry["layer"], tuple(entry["frame_positions"]))
                for name, entry in about["explanations"].items()
            }
        except (KeyError, ValueError, TypeError, ParseError) as error:
            raise Unavailable(
                f"{path}: was not written by this version of `actionlens models export`; export the model again",
                reason="MODEL_UNFIT",
            ) from error
        self._names = {output.name for output in self._session.get_outputs()}
        self.takes_several = not isinstance(self._session.get_inputs()[0].shape[0], int)
        """Whether a run may have more clips than one."""

    @property
    def name(self) -> str:
        """The model's."""
        return self.model.name

    def run(self, clips: NDArray[np.uint8], targets: NDArray[np.int64], wanted: Collection[str]) -> Outputs:
        """Those of the wanted outputs that the graph has, by name, each with a leading axis of clips.

        clips: uint8 RGB [B, T, H, W, 3] at the model's size. targets: [B], the class to explain; -1 for the likeliest.
        """
        names = [name for name in wanted if name in self._names]
        found = self._session.run(names, {"clip": clips, "target": targets}, self._run_options)
        return dict(zip(names, found, strict=True))
