"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from service.client import Client
    from service.client.stream_messages import StreamOptions
    from service.settings import Settings

Address = Annotated[
    str,
    typer.Option(
        "--address",
        "-a",
        envvar="ACTIONLENS_ADDRESS",
        metavar="HOST:PORT",
        show_default="ACTIONLENS_HOST:ACTIONLENS_PORT, else 127.0.0.1:8470",
        help="The running service.",
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        show_default="the service's default model",
        help="Which model answers; `actionlens models list` tells the names.",
    ),
]
TrustCode = Annotated[
    bool,
    typer.Option(
        "--trust-code",
        envvar="ACTIONLENS_TRUST_CODE",
        help="Run the code of models that bring their own (architecture: model.py:build); it may do all that you may.",
    ),
]
Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        "-x",
        metavar="NAME[:PARAMETER=VALUE,...]",
        show_default="grad-cam and selective-relevance",
        help="What explains; repeat it for several, all from the same forward. For example "
        "selective-relevance:threshold=3,base=grad-cam; `none` only predicts. "
        "`actionlens models show NAME` tells methods, parameters and defaults.",
    ),
]
Target = Annotated[
    str | None,
    typer.Option(
        metavar="LABEL",
        show_default="the class that the model finds likeliest",
        help="The class to explain: a label, else (where no label is a number) the class of that number, from 0.",
    ),
]
Contrast = Annotated[
    str | None,
    typer.Option(metavar="LABEL", help="Explain why the target and not this class: what both share cancels out."),
]
BudgetMs = Annotated[
    float | None,
    typer.Option(
        "--budget-ms",
        min=1.0,
        metavar="MS",
        show_default="none",
        help="Answer within so many milliseconds of a frame: methods that take too long are left out, and named.",
    ),
]
MaxOverhead = Annotated[
    float | None,
    typer.Option(
        "--max-overhead",
        min=0.0,
        metavar="PERCENT",
        show_default="none",
        help="Let explaining take so many percent of the time of predicting, on average over the windows.",
    ),
]
Gap = Annotated[
    bool,
    typer.Option(
        "--gap",
        help="Measure each explanation by its insertion-deletion gap: how much more the class's probability rises as "
        "the clip is put back, most relevant patches first, than it keeps as they are taken out. Higher is better; 12 "
        "more clips through the network for each.",
    ),
]
Store = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        show_default="ACTIONLENS_MODEL_STORE, else models/ in the data folder and the bundled models",
        help="Folder with one sub-folder per model.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one document per line, and nothing for people.")]

_DEFAULT_METHODS = ("grad-cam", "selective-relevance")


def chosen_methods(given: list[str] | None) -> list[str]:
    """The methods to ask for: the live ones when none is given, none for `none`."""
    return list(_DEFAULT_METHODS) if not given else [method for method in given if method != "none"]


def budgets(budget_ms: float | None, max_overhead: float | None) -> StreamOptions:
    """The budgets of a stream, in seconds and as a share, of what the command line says."""
    given: StreamOptions = {}
    if budget_ms is not None:
        given["latency_budget"] = budget_ms / 1000
    if max_overhead is not None:
        given["overhead_budget"] = max_overhead / 100
    return given


def service_address(given: str) -> str:
    """The address to call: as given, or where the settings say that the service listens."""
    if given:
        return given
    from service.settings import Settings

    settings = Settings()
    return f"{reachable(settings.host)}:{settings.port}"


def settings_of(store: Path | None, trust_code: bool = False) -> Settings:
    """The settings of a command that computes by itself, with the store and the trust that its options give."""
    from service.settings import Settings

    settings = Settings() if store is None else Settings(model_store=store)
    return settings.model_copy(update={"trust_code": trust_code or settings.trust_code})


def connect(address: str, timeout: float = 30.0) -> Client:
    """A client of the service, which has shown that somebody answers. Raises Unavailable at once when nobody does."""
    client = make_client(address, timeout)
    try:
        client.health()
    except BaseException:
        client.close()
        raise
    return client


def make_client(address: str, timeout: float) -> Client:
    """A client of the service, by the command's options. It connects with the first call."""
    from service.cli.connection import current_connection
    from service.client import Client
    from service.settings import Settings

    connection = current_connection()
    local = None if address else Settings()
    return Client(
        service_address(address),
        timeout=timeout,
        credentials=connection.credentials(local),
        token=connection.bearer_token(),
    )


def reachable(host: str) -> str:
    """A host to connect to for a host to listen on."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]", "[::]": "[::1]"}.get(host, host)
