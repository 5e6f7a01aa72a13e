"""PyTorchVideo's own networks, an independent implementation. Test only.

It imports torchvision for detection heads that are not used here; an empty stand-in satisfies it.
"""

from __future__ import annotations

import importlib
import sys
import types
import warnings
from collections.abc import Callable

from torch import nn

Create = Callable[..., nn.Module]


def _imported(name: str) -> types.ModuleType:
    before = {key: sys.modules.pop(key) for key in list(sys.modules) if key.split(".")[0] == "torchvision"}
    vision, ops = types.ModuleType("torchvision"), types.ModuleType("torchvision.ops")
    ops.RoIAlign = type("RoIAlign", (), {})  # type: ignore[attr-defined]
    vision.ops = ops  # type: ignore[attr-defined]
    sys.modules |= {"torchvision": vision, "torchvision.ops": ops}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    finally:
        for key in ("torchvision", "torchvision.ops"):
            del sys.modules[key]
        sys.modules |= before


create_resnet: Create = _imported("pytorchvideo.models.resnet").create_resnet
create_slowfast: Create = _imported("pytorchvideo.models.slowfast").create_slowfast
create_x3d: Create = _imported("pytorchvideo.models.x3d").create_x3d
