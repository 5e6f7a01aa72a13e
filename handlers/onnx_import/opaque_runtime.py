"""A network that onnxruntime runs: it predicts, and nothing can be seen inside it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from handlers.errors import ModelError
from handlers.onnx_import.file import NEEDS, OnnxFile
from handlers.relevance import Opaque


class OnnxRuntime(Opaque):
    """The file's network in an onnxruntime session on the CPU, with as many threads as torch has.

    reason: why it was not converted.
    """

    def __init__(self, file: OnnxFile, reason: str) -> None:
        """Raises ModelError when onnxruntime is absent or has no such operator."""
        super().__init__(reason)
        try:
            import onnxruntime
        except ImportError as error:
            raise ModelError(NEEDS) from error
        model = type(file.model)()
        model.CopyFrom(file.model)
        del model.graph.output[:]
        model.graph.output.add(name=file.output)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own, of many classes
            raise ModelError(f"{file.path}: onnxruntime cannot run it: {str(error).splitlines()[0]}") from error
        self._input, self._kind = file.input, file.entry.kind
        self._colours = file.colours

    def forward(self, clips: Tensor) -> Tensor:
        """float32 [B, 3, T, H, W] to logits [B, K]. Raises RuntimeError for clips that do not fit."""
        given = clips.detach().movedim(1, self._colours).contiguous().numpy().astype(self._kind, copy=False)
        try:
            (found,) = self._session.run(None, {self._input: given})
        except Exception as error:  # onnxruntime's own, of many classes
            raise RuntimeError(str(error).splitlines()[0]) from error
        return torch.from_numpy(found).float()
