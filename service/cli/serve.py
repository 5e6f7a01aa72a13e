"""`actionlens serve`: TorchServe, the gRPC service and its metrics, until Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.options import Store, TrustCode, reachable

if TYPE_CHECKING:
    from service.client import Client
    from service.server import Server
    from service.settings import Settings

_OPTIONS = {"model_store": "--store", "models": "--model"}
"""Options that are named otherwise than their settings."""


def serve(
    host: Annotated[
        str | None,
        typer.Option(
            metavar="HOST",
            envvar="ACTIONLENS_HOST",
            show_default="127.0.0.1",
            help="Where to listen; 0.0.0.0 lets other machines in, who must say who they are (see docs/security.md).",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, envvar="ACTIONLENS_PORT", show_default="8470", help="gRPC port; 0 picks a free one."
        ),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            envvar="ACTIONLENS_METRICS_PORT",
            show_default="8471",
            help="HTTP port of /metrics and /healthz.",
        ),
    ] = None,
    page_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            envvar="ACTIONLENS_PAGE_PORT",
            show_default="8472",
            help="HTTP port of the live page.",
        ),
    ] = None,
    insecure: Annotated[
        bool | None,
        typer.Option(
            "--insecure",
            envvar="ACTIONLENS_INSECURE",
            help="Let other machines in although nobody must say who it is: on a trusted network only.",
        ),
    ] = None,
    store: Store = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            show_default="all in the store",
            help="Load only these; each takes its own workers and memory.",
        ),
    ] = None,
    default_model: Annotated[
        str | None, typer.Option(metavar="NAME", help="The model of requests that name none.")
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            metavar="torchserve|in-process|onnx",
            help="torchserve restarts what dies and uses several cores; in-process starts faster and has no Java; onnx "
            "serves exported graphs (STORE/*.onnx) without PyTorch.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0, max=64, help="Processes per model: more clips at once, each slower; 0 means one. 0.4 GB each."
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=256,
            help="Torch threads per worker; more than the cores there are is slower. 0: cores / workers.",
        ),
    ] = None,
    trust_code: TrustCode = False,
    log_level: Annotated[str | None, typer.Option(metavar="debug|info|warning|error")] = None,
    log_format: Annotated[str | None, typer.Option(metavar="console|json")] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="When ready, explain the sample clip through the whole path and write out/.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="With --demo: stop after the sample clip.")] = False,
) -> None:
    """Serve models until Ctrl-C. Settings come from options, then ACTIONLENS_* variables."""
    from pydantic import ValidationError

    from service.cli.terminal import stages
    from service.setting_files import SettingFileError, refused_setting, unknown_variables
    from service.settings import Settings

    if once and not demo:
        raise typer.BadParameter("needs --demo", param_hint="--once")
    given = {
        "host": host,
        "insecure": insecure,
        "port": port,
        "metrics_port": metrics_port,
        "page_port": page_port,
        "model_store": store,
        "models": tuple(model) if model else None,
        "default_model": default_model,
        "backend": backend,
        "workers": workers,
        "trust_code": trust_code or None,
        "threads": threads,
        "log_level": log_level or (None if "ACTIONLENS_LOG_LEVEL" in os.environ or not demo else "warning"),
        "log_format": log_format,
    }
    try:
        settings = Settings(**{key: value for key, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        if name and given.get(name) is not None:
            option = _OPTIONS.get(name, f"--{name.replace('_', '-')}")
            raise typer.BadParameter(str(first["msg"]), param_hint=option) from error
        raise typer.BadParameter(refused_setting(error)) from error
    except SettingFileError as error:
        raise typer.BadParameter(str(error)) from error
    for line in unknown_variables(Settings):
        typer.echo(line, err=True)
    sample = _sample(settings)
    if demo and sample is None:
        typer.echo(
            f"model {settings.default_model} brings no sample.mp4 along; name a clip with ACTIONLENS_CANARY",
            err=True,
        )
        raise typer.Exit(1)
    if demo:
        settings = settings.model_copy(update={"canary": sample})
    with contextlib.ExitStack() as spinner:
        report = spinner.enter_context(stages())
        report("starting: loading models, answering a first clip")
        failed = _serve(settings, spinner, sample, demo, once)
    if failed:
        raise typer.Exit(1)


def _serve(settings: Settings, spinner: contextlib.ExitStack, sample: Path | None, demo: bool, once: bool) -> bool:
    """Serve until stopped; whether the demonstration failed."""
    import signal
    import threading

    from actionlens.extras import needing
    from service.settings import BackendName

    with needing("service" if settings.backend is BackendName.ONNX else "worker"):
        from service.server import serve as serve_until_stopped

    failures: list[BaseException] = []

    def demonstrate(server: Server, clip: Path) -> None:
        try:
            _demonstrate(server, clip)
            if not once:
                _announce(server, clip)
        except BaseException as error:
            failures.append(error)
            _complain(error)
        if once or failures:
            # The way any operator stops it: drain, then leave.
            os.kill(os.getpid(), signal.SIGTERM)

    def ready(server: Server) -> None:
        spinner.close()
        if demo and sample is not None:
            # The sample goes through the service's own port, so its loop must be free.
            threading.Thread(target=demonstrate, args=(server, sample), name="demo", daemon=True).start()
        else:
            _announce(server, sample)

    serve_until_stopped(settings, ready)
    return bool(failures)


def _sample(settings: Settings) -> Path | None:
    """A clip to show the service with: the configured canary, or the default model's own."""
    return settings.canary or settings.sample_clip(settings.default_model)


def _demonstrate(server: Server, clip: Path) -> None:
    """Explain the sample as any client would, and show what came back."""
    from service.cli.options import chosen_methods
    from service.cli.result_files import write_results
    from service.cli.terminal import out, show_result, stages

    with stages() as report, _own_client(server) as client:
        report(f"explaining {clip.name}")
        result = client.explain_clip(clip, methods=chosen_methods(None))
        written = write_results(Path("out"), clip.stem, clip, result, server.settings.limits, report)
    console = out()
    show_result(console, clip.name, result)
    for path in written:
        console.print(f"  {path}", style="blue", soft_wrap=True)


def _announce(server: Server, clip: Path | None) -> None:
    """The addresses of everything, and one line to paste."""
    from service.cli.terminal import out

    settings = server.settings
    console = out()
    scheme = "http" if server.tls is None else "https"
    rows = {
        "page": f"{scheme}://{reachable(settings.host)}:{server.page_port}/",
        "gRPC": _address(server),
        "metrics": f"{scheme}://{reachable(settings.host)}:{server.metrics_port}/metrics",
        "models": ", ".join(sorted(server.backend.models())),
        "callers": _callers(settings),
    }
    console.print()
    for name, value in rows.items():
        console.print(f"  [bold]{name:<8}[/bold] {value}", soft_wrap=True)
    if server.jobs is not None and not server.jobs.is_open():
        trouble = server.jobs.engine.trouble
        why = str(trouble) if trouble is not None else "their database has not answered yet"
        console.print("  jobs     ", style="bold yellow", end="")
        console.print(f"not available, trying again: {why}", style="yellow", soft_wrap=True, markup=False)
    address = "" if _address(server) == "127.0.0.1:8470" else f" --address {_address(server)}"
    console.print("\ntry")
    console.print(f"  {_program()} explain {_near(clip)} -o out/{address}", style="cyan", soft_wrap=True)
    console.print("\nCtrl-C stops everything", style="dim")


def _callers(settings: Settings) -> str:
    """Who may call."""
    if settings.authentication.required:
        return "principals, by their tokens"
    if settings.tls.client_ca is not None:
        return "whoever has a client certificate"
    from service.identity.exposure import is_loopback

    return "everybody on this machine" if is_loopback(settings.host) else "everybody who reaches this address"


def _own_client(server: Server) -> Client:
    """A client of the running service, which knows it as itself."""
    from service.client import Client

    return Client(server.own_address, token=server.authenticator.own_token)


def _address(server: Server) -> str:
    return f"{reachable(server.settings.host)}:{server.port}"


def _program() -> str:
    """The command that runs this program again."""
    return "actionlens" if shutil.which("actionlens") else _near(Path(sys.argv[0]))


def _near(path: Path | None) -> str:
    """A path as one would type it from here."""
    if path is None:
        return "CLIP.mp4"
    full = path.resolve()
    return str(full.relative_to(Path.cwd())) if full.is_relative_to(Path.cwd()) else str(path)


def _complain(error: BaseException) -> None:
    from service.cli.errors import explain_failure

    typer.echo(f"the sample clip could not be explained: {explain_failure(error)}", err=True)
