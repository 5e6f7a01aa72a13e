"""The one settings class. Every field is also an environment variable, ACTIONLENS_PORT or ACTIONLENS_LIMITS__PIXELS, or
the content of a file that such a variable with _FILE behind it names."""

from __future__ import annotations

import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from actionlens.store import bundled_store
from service.setting_files import VariablesAndFiles, variable


class BackendName(StrEnum):
    """Who computes."""

    TORCHSERVE = "torchserve"
    IN_PROCESS = "in-process"
    ONNX = "onnx"


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
    """Largest frame, width x height."""
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


class DecoderPlace(StrEnum):
    """Where what clients send is decoded."""

    PROCESS = "process"
    IN_PROCESS = "in-process"


class DecoderSettings(BaseModel):
    """Decoding of films and pictures apart from the service, so that a fault in a library's decoder is not its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    place: DecoderPlace = DecoderPlace.PROCESS
    """In processes of few rights, as many for clips and as many for frames of streams as there are threads for them; or
    in the service's own, which saves their memory. Commands that compute by themselves decode in their own."""
    memory_bytes: Annotated[int, Field(ge=2**28)] = 2**30
    """Most memory that one such process takes beyond its libraries; what needs more is refused."""


class StreamSettings(BaseModel):
    """Bounds of one live stream."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_streams: Annotated[int, Field(gt=0)] = 32
    """Streams that may be open at once."""
    credit: Annotated[int, Field(gt=0)] = 32
    """Frames that a client may have outstanding."""
    buffer_bytes: Annotated[int, Field(gt=0)] = 32 * 2**20
    """Most bytes of frames that wait undecoded; one frame always fits."""
    idle_seconds: Annotated[float, Field(gt=0)] = 60.0
    """A stream without a frame for so long is closed."""
    window_seconds: Annotated[float, Field(gt=0)] = 20.0
    """Deadline of one window of a stream that may skip windows. Where none may be lost, it is twice
    `response_seconds`: the batch in work and the window's own."""
    ahead_seconds: Annotated[float, Field(ge=0)] = 0.08
    """Work that streams have waiting at one model's workers, so that batches form; more of it makes answers later."""
    turn_seconds: Annotated[float, Field(gt=0)] = 10.0
    """A new stream is refused when it, or the open ones beside it, would have to wait so long for an answer."""


class Slots(BaseModel):
    """Clips of each band that one job worker with one compute process holds at once; each further process adds one.
    Every band has its own, so none waits for another, and one tenant has one less, so that the next need not wait."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    high: Annotated[int, Field(ge=1, le=64)] = 3
    """Clips of jobs of high priority."""
    normal: Annotated[int, Field(ge=1, le=64)] = 3
    """Clips of jobs of normal priority."""
    low: Annotated[int, Field(ge=1, le=64)] = 3
    """Clips of jobs of low priority."""


class JobSettings(BaseModel):
    """Jobs: where they are kept, and how much of the machine they get."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    db: str = ""
    """SQLite file, or URL of a database ("postgresql://user@host/name"); empty: jobs.sqlite in the data folder.
    ACTIONLENS_JOBS_DB is another name of this variable."""
    artefacts: str = ""
    """Folder or fsspec URL ("s3://bucket/actionlens") of clips, states and results; empty: in the data folder."""
    input_root: Path | None = None
    """Folder below which clips may be named by their paths; none: clips must be uploaded."""
    workers: Annotated[int, Field(ge=0, le=16)] = 1
    """Job workers that `actionlens serve` keeps running; 0: `actionlens jobs worker` runs elsewhere."""
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    """Compute processes of one job worker per model; so many clips are computed at once."""
    threads: Annotated[int, Field(ge=0, le=256)] = 0
    """Torch threads per compute process; 0 means cores // processes, at least 1."""
    nice: Annotated[int, Field(ge=0, le=19)] = 10
    """How far job workers stand back for live traffic, as the command nice has it."""
    slots: Slots = Slots()
    models: Annotated[int, Field(ge=1, le=64)] = 2
    """Models that one job worker keeps loaded."""
    block_seconds: Annotated[float, Field(gt=0, le=60)] = 2.0
    """Length of one block: at most so much work is repeated after a crash, and a cancel takes so long."""
    response_seconds: Annotated[float, Field(gt=0)] = 600.0
    """A compute process that takes longer for one block is killed and replaced."""
    attempts: Annotated[int, Field(ge=1, le=100)] = 4
    """A clip fails when one of its blocks has ended a compute process or a worker so often."""
    idle_seconds: Annotated[float, Field(gt=0)] = 300.0
    """Compute processes without work for so long are stopped."""
    lease_seconds: Annotated[float, Field(ge=1)] = 15.0
    """The clips of a worker that has not been heard of for so long go to another one."""
    poll_seconds: Annotated[float, Field(ge=0.01, le=60)] = 1.0
    """How often a worker looks for new clips."""
    live_p95_seconds: Annotated[float, Field(gt=0)] = 0.25
    """While the 95th percentile of live answers is above this, jobs pause between blocks."""
    yield_seconds: Annotated[float, Field(ge=0)] = 20.0
    """Longest such pause before each block; `least_share` bounds it too."""
    least_share: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Share of its time that a clip in work may compute at least, however slow live answers are: such a pause is no
    longer than the block before it allows."""
    max_queued: Annotated[int, Field(gt=0)] = 100_000
    """Clips that may wait before CreateJob answers RESOURCE_EXHAUSTED."""
    max_queued_per_tenant: Annotated[int, Field(gt=0)] = 50_000
    """Clips of one tenant that may wait, so that none keeps the others out."""
    retention_days: Annotated[float, Field(gt=0)] = 30.0
    """Uploads and results of a job are removed so long after its end."""
    retention_bytes: Annotated[int, Field(gt=0)] = 50 * 2**30
    """When ended jobs hold more than this, the oldest are removed earlier."""


class Quotas(BaseModel):
    """What one caller may take of the service, over gRPC and the page together. A caller is an address."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    principal_share: Annotated[float, Field(gt=0, le=1)] = 0.75
    """Share of the places for calls, streams, watches and probes, and of `bytes`, that one caller may hold; 8 places of
    each it may always. A caller is a principal, wherever it calls from, or an address that no principal is known of."""
    connection_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """The same of one connection."""
    bytes: Annotated[int, Field(ge=2**20)] = 2**30
    """Bytes of requests that may be in work at once, of all callers."""
    compute_seconds: Annotated[float, Field(ge=0)] = 0.0
    """Seconds that workers may compute per minute for the live requests of one caller; 0: no bound."""
    first_seconds: Annotated[float, Field(gt=0)] = 10.0
    """Time in which the first message of a call, the head of an HTTP request or its next bytes must come."""
    receive_seconds: Annotated[float, Field(gt=0)] = 60.0
    """Time in which a whole request must come; not of streams."""
    connections: Annotated[int, Field(ge=8)] = 512
    """Connections that the gRPC port and the page's port have open at once, each."""


class Traces(BaseModel):
    """Where traces of answers go; needs the extra `tracing`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    collector: str = ""
    """Address of an OpenTelemetry collector (OTLP over gRPC, "http://127.0.0.1:4317"); empty: no traces."""
    share: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the answers that are traced. A client that traces decides for its own calls."""


_ISSUER = re.compile(r"https://.|http://(127\.0\.0\.1|localhost|\[::1\])([:/]|$)")


class TlsSettings(BaseModel):
    """Encryption of all three ports. Files are read again when they change; open connections stay."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cert: Path | None = None
    """Certificate with its chain, PEM; none: no TLS."""
    key: Path | None = None
    """The certificate's private key, PEM, without a password."""
    client_ca: Path | None = None
    """Authorities, PEM: only clients with a certificate of one of them reach any port (mutual TLS)."""

    @model_validator(mode="after")
    def _complete(self) -> TlsSettings:
        if (self.cert is None) != (self.key is None):
            raise ValueError("TLS needs both ACTIONLENS_TLS__CERT and ACTIONLENS_TLS__KEY")
        if self.client_ca is not None and self.cert is None:
            raise ValueError("ACTIONLENS_TLS__CLIENT_CA needs ACTIONLENS_TLS__CERT and ACTIONLENS_TLS__KEY")
        return self


class AuthenticationSettings(BaseModel):
    """Who may call: principals of a file, those whom an OpenID Connect issuer vouches for, or both; neither: everybody
    who reaches a port."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: Path | None = None
    """File of principals with hashed tokens or certificates' names, as `actionlens tokens create` writes it; read again
    when it changes."""
    issuer: str = ""
    """OpenID Connect issuer whose tokens are accepted, "https://login.example.org"; http on this machine only."""
    audience: str = ""
    """What a bearer token's `aud` must hold; needed with an issuer."""
    client_id: str = ""
    """The page's own name at the issuer; empty: the page is not logged into through the issuer."""
    client_secret: Path | None = None
    """File with the page's secret at the issuer; none: a public client, by PKCE alone."""
    name_claim: str = "sub"
    """Claim that names the principal, in the audit log and on the page."""
    tenants_claim: str = "tenants"
    """Claim with the tenants, a list or words apart by spaces. A token without one has no tenant and is refused."""
    rights_claim: str = "rights"
    """Claim with the rights (predict, explain, jobs, admin), likewise; other words in it are passed over."""
    leeway_seconds: Annotated[float, Field(ge=0, le=300)] = 30.0
    """How far the issuer's clock may differ."""
    session_seconds: Annotated[float, Field(gt=0)] = 12 * 3600.0
    """Longest time until the page asks for a new log-in."""
    open_health: bool = True
    """Health is told without a token: grpc.health.v1 and /healthz."""
    open_metrics: bool = False
    """/metrics is told without a token; else it needs the right admin, for it counts everybody's jobs."""
    open_reflection: bool = False
    """Descriptors are told without a token (gRPC reflection)."""

    @model_validator(mode="after")
    def _complete(self) -> AuthenticationSettings:
        if self.issuer and not _ISSUER.match(self.issuer):
            raise ValueError("an issuer's address is https://, or http:// on this machine")
        if self.issuer and not self.audience:
            raise ValueError("an issuer needs ACTIONLENS_AUTHENTICATION__AUDIENCE: whose tokens are meant for us")
        if self.client_id and not self.issuer:
            raise ValueError("a client id needs ACTIONLENS_AUTHENTICATION__ISSUER")
        return self

    @property
    def required(self) -> bool:
        """Whether callers must say who they are."""
        return self.tokens is not None or bool(self.issuer)


class AuditSettings(BaseModel):
    """A line of JSON for every call that changes state: who, what, on which object, from where, with which result."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: Path | None = None
    """The log; none: audit.jsonl in the data folder where callers must say who they are, else no log."""
    bytes: Annotated[int, Field(ge=2**12)] = 16 * 2**20
    """Size at which the file is put aside and a new one begun."""
    files: Annotated[int, Field(ge=1, le=1000)] = 10
    """Files put aside that are kept; the oldest goes."""


def _data_folder() -> Path:
    base = os.environ.get("XDG_DATA_HOME", "")
    return (Path(base) if base else Path.home() / ".local" / "share") / "actionlens"


def _own_store(data: Path) -> Path:
    return data / "models"


class Settings(BaseSettings):
    """Everything that can be configured."""

    model_config = SettingsConfigDict(
        env_prefix="ACTIONLENS_", env_nested_delimiter="__", extra="ignore", hide_input_in_errors=True
    )

    host: str = "127.0.0.1"
    """Address that all ports are opened on; 0.0.0.0 for all interfaces. Other than this machine's own needs
    authentication or client certificates, or `insecure`."""
    insecure: bool = False
    """Listen on any address although everybody who reaches it may do everything."""
    hosts: tuple[str, ...] = ()
    """Names beside localhost by which the ports for HTTP may be called, `["explain.example", "*.cluster.local"]`;
    `["*"]`: any. Where `host` is not loopback's, numeric addresses may be used too. Other names are refused (DNS
    rebinding)."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8470
    """gRPC port; 0 picks a free one."""
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 8471
    """HTTP port of /metrics and /healthz; 0 picks a free one."""
    page_port: Annotated[int, Field(ge=0, le=65535)] = 8472
    """HTTP port of the live page; 0 picks a free one."""
    data: Path = Field(default_factory=_data_folder)
    """Folder of what must outlive the service: imported models, jobs and their artefacts."""
    model_store: Path = Field(default_factory=lambda given: _own_store(given["data"]))
    """Folder with one sub-folder per model (card.yaml, weights), into which models are imported; models/ in the data
    folder, unless named. The bundled models are served beside those of the unnamed store, and a model there stands in
    for the bundled one of the same name. A store that is named holds all that is served."""
    models: tuple[str, ...] = ()
    """Models to load; none named means all in the store."""
    default_model: str = "motion-primitives"
    """Model of requests that name none."""
    trust_code: bool = False
    """Run the code of models that bring their own (`architecture: model.py:build`); it may do all that the service may.
    Without it such a model is refused, and nothing of it runs."""
    backend: BackendName = BackendName.TORCHSERVE
    """Who computes: supervised TorchServe workers, this process, or onnxruntime on exported graphs."""
    workers: Annotated[int, Field(ge=0, le=64)] = 0
    """TorchServe workers per model; 0 means one."""
    threads: Annotated[int, Field(ge=0, le=256)] = 0
    """Torch threads per worker; 0 means cores // workers of one model, at least 1."""
    relevance_bytes: Annotated[int, Field(ge=2**20)] = 2 * 2**30
    """Most memory that ATR takes in one worker beyond the forward pass: above it rows are computed in groups, and what
    does not fit row by row is refused."""
    precision: Precision = Precision.FLOAT32
    """bfloat16 and auto change relevance by less than 1 %; contrasts stay float32."""
    batch_size: Annotated[int, Field(ge=1, le=64)] = 4
    """Most clips that a worker computes in one forward pass."""
    batch_delay_ms: Annotated[int, Field(ge=1, le=1000)] = 1
    """How long a worker waits for a batch to fill. A lone request waits all of it."""
    queue: Annotated[int, Field(ge=1, le=10000)] = 32
    """Clips that may wait per model before clients get RESOURCE_EXHAUSTED."""
    response_seconds: Annotated[float, Field(gt=0)] = 60.0
    """A worker that takes longer for one batch is killed and replaced."""
    start_seconds: Annotated[float, Field(gt=0)] = 180.0
    """Longest time until the workers of all models are ready."""
    drain_seconds: Annotated[float, Field(gt=0)] = 10.0
    """Time that calls in flight have to end after SIGTERM."""
    decode_threads: Annotated[int, Field(ge=1, le=64)] = 2
    """Threads that decode clips, and as many more that decode the frames of streams."""
    warm_forward_seconds: Annotated[float, Field(ge=0)] = 0.25
    """At start, a worker whose network takes at most so long for a clip also makes each live explanation once, so that
    the first one asked for is as fast as those after it. Slower networks gain little by it. 0: none."""
    canary: Path | None = None
    """Clip that is explained through the whole path before the service says SERVING; none: grey frames."""
    log_format: LogFormat = LogFormat.CONSOLE
    """Of the log on standard error."""
    log_level: Annotated[str, Field(pattern=r"^(debug|info|warning|error)$")] = "info"
    """Least severe messages that are logged."""
    limits: Limits = Limits()
    decoder: DecoderSettings = DecoderSettings()
    stream: StreamSettings = StreamSettings()
    jobs: JobSettings = JobSettings()
    traces: Traces = Traces()
    tls: TlsSettings = TlsSettings()
    authentication: AuthenticationSettings = AuthenticationSettings()
    audit: AuditSettings = AuditSettings()
    quotas: Quotas = Quotas()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Where values come from, the first that has one: what is passed; variables, or the files that they name."""
        return init_settings, VariablesAndFiles(settings_cls)

    @property
    def stores(self) -> tuple[Path, ...]:
        """The folders in which models are looked for, in this order. They need not exist."""
        own = self.model_store == _own_store(self.data)
        return (self.model_store, bundled_store()) if own else (self.model_store,)

    def sample_clip(self, model: str) -> Path | None:
        """The clip that a model brings along, sample.mp4 beside its card."""
        folder = next((store / model for store in self.stores if (store / model).is_dir()), None)
        return folder / "sample.mp4" if folder is not None and (folder / "sample.mp4").is_file() else None

    @model_validator(mode="before")
    @classmethod
    def _database_by_its_short_name(cls, given: dict[str, Any]) -> dict[str, Any]:
        jobs = given.get("jobs", {})
        url = variable("ACTIONLENS_JOBS_DB")
        if url and isinstance(jobs, dict) and not jobs.get("db"):
            return {**given, "jobs": {**jobs, "db": url}}
        return given
