"""The one settings class. Every field is also an environment variable: ACTIONLENS_PORT, ACTIONLENS_LIMITS__PIXELS."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

_ROOT = Path(__file__).resolve().parent.parent


class BackendName(StrEnum):
    """Who computes."""

    TORCHSERVE = "torchserve"
    IN_PROCESS = "in-process"


class LogFormat(StrEnum):
    """How log lines are written to standard error."""

    CONSOLE = "console"
    JSON = "json"


class Precision(StrEnum):
    """Arithmetic of relevance; predictions are float32. auto: bfloat16 where the processor computes it natively."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    AUTO = "auto"


class Limits(BaseModel):
    """What a client may send. Checked from headers, before anything is decoded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    message_bytes: Annotated[int, Field(gt=0)] = 32 * 2**20
    """Largest gRPC message in bytes."""
    pixels: Annotated[int, Field(gt=0)] = 4096 * 2304
    """Largest picture, width x height."""
    frames: Annotated[int, Field(gt=0)] = 9000
    """Most frames of one clip."""
    seconds: Annotated[float, Field(gt=0)] = 300.0
    """Longest clip."""
    codecs: frozenset[str] = frozenset(
        {
            "h264",
            "hevc",
            "mpeg4",
            "msmpeg4v2",
            "msmpeg4v3",
            "mjpeg",
            "vp8",
            "vp9",
            "av1",
            "gif",
            "png",
            "mpeg1video",
            "mpeg2video",
            "h263",
            "flv1",
            "wmv2",
            "prores",
            "rawvideo",
        }
    )
    """Video codecs that are decoded; others are refused by name."""
    decode_seconds: Annotated[float, Field(gt=0)] = 30.0
    """Longest time that decoding one clip may take."""


class StreamSettings(BaseModel):
    """Bounds of one live stream."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_streams: Annotated[int, Field(gt=0)] = 32
    credit: Annotated[int, Field(gt=0)] = 32
    """Frames that a client may have outstanding."""
    buffer_bytes: Annotated[int, Field(gt=0)] = 32 * 2**20
    """Most bytes of frames that wait undecoded; one frame always fits."""
    idle_seconds: Annotated[float, Field(gt=0)] = 60.0
    """A stream without a frame for so long is closed."""
    window_seconds: Annotated[float, Field(gt=0)] = 20.0
    """Deadline of one window of a stream that may skip windows. Where none may be lost, it is twice
    `response_seconds`: the batch in work and the window's own."""


class Settings(BaseSettings):
    """Everything that can be configured."""

    model_config = SettingsConfigDict(env_prefix="ACTIONLENS_", env_nested_delimiter="__", extra="ignore")

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8470
    """gRPC port; 0 picks a free one."""
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 8471
    """HTTP port of /metrics and /healthz; 0 picks a free one."""
    model_store: Path = _ROOT / "model_store"
    """Folder with one sub-folder per model (card.yaml, weights)."""
    models: tuple[str, ...] = ()
    """Models to load; none named means all in the store."""
    default_model: str = "motion-primitives"
    backend: BackendName = BackendName.TORCHSERVE
    workers: Annotated[int, Field(ge=0, le=64)] = 0
    """TorchServe workers per model; 0 means one."""
    threads: Annotated[int, Field(ge=0, le=256)] = 0
    """Torch threads per worker; 0 means cores // (workers of all models), at least 1."""
    relevance_bytes: Annotated[int, Field(ge=2**20)] = 2 * 2**30
    """Most memory that ATR takes in one worker beyond the forward pass: above it rows are computed in turns, and what
    does not fit row by row is refused."""
    precision: Precision = Precision.FLOAT32
    """bfloat16 and auto change relevance by less than 1 %; contrasts stay float32."""
    batch_size: Annotated[int, Field(ge=1, le=64)] = 4
    batch_delay_ms: Annotated[int, Field(ge=1, le=1000)] = 1
    """How long a worker waits for a batch to fill. A lone request waits all of it."""
    queue: Annotated[int, Field(ge=1, le=10000)] = 32
    """Clips that may wait per model before clients get RESOURCE_EXHAUSTED."""
    response_seconds: Annotated[float, Field(gt=0)] = 60.0
    """A worker that takes longer for one batch is killed and replaced."""
    start_seconds: Annotated[float, Field(gt=0)] = 180.0
    drain_seconds: Annotated[float, Field(gt=0)] = 10.0
    decode_threads: Annotated[int, Field(ge=1, le=64)] = 2
    canary: Path | None = None
    """Clip that is explained through the whole path before the service says SERVING; none: grey frames."""
    log_format: LogFormat = LogFormat.CONSOLE
    log_level: Annotated[str, Field(pattern=r"^(debug|info|warning|error)$")] = "info"
    limits: Limits = Limits()
    stream: StreamSettings = StreamSettings()
