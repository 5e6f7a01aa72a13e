"""The environment of child processes that compute: what a program needs to run, and none of this process's secrets."""

from __future__ import annotations

import os

_NAMES = frozenset(
    {
        "HOME",
        "LANG",
        "LANGUAGE",
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
        "LOGNAME",
        "PATH",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONHASHSEED",
        "PYTHONPATH",
        "PYTHONPYCACHEPREFIX",
        "PYTHONWARNINGS",
        "TMPDIR",
        "TZ",
        "USER",
        "VIRTUAL_ENV",
    }
)
# Of the libraries that compute: threads, memory, devices, instruction sets.
_FAMILIES = (
    "ATEN_",
    "CUDA_",
    "DNNL_",
    "GOMP_",
    "KMP_",
    "LC_",
    "MALLOC_",
    "MKL_",
    "NVIDIA_",
    "OMP_",
    "ONEDNN_",
    "OPENBLAS_",
    "OPENCV_",
    "PYTORCH_",
    "TORCH_",
)


def child_environment(**values: str) -> dict[str, str]:
    """Those variables of this process that a child gets, and `values` in their place or beside them.

    A list of what is let through, not of what is held back: database URLs, tokens and cloud keys have too many names.
    """
    kept = {name: value for name, value in os.environ.items() if name in _NAMES or name.startswith(_FAMILIES)}
    return kept | values
