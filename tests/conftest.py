"""What all tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NoReturn

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

_ASSETS = "ACTIONLENS_TEST_ASSETS"
_REQUIRE = "ACTIONLENS_REQUIRE_SYSTEM"
_SYSTEM = "system component"
NO_ASSETS = f"real clips are not here: set {_ASSETS} to a folder with models/ and clips/ (see CONTRIBUTING.md)"


def absent(component: str, remedy: str) -> NoReturn:
    """Skip a test for want of a program; a failure where ACTIONLENS_REQUIRE_SYSTEM=1, because there it must be
    installed. remedy: the command that installs it."""
    pytest.skip(f"{_SYSTEM} {component} is absent: {remedy}")


# Tests run side by side (make test); more threads than cores would only wait for each other. Before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says how busy the machine is. In CI the examples are the same each time.
settings.register_profile(
    "actionlens",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI") or os.environ.get(_REQUIRE)),
)
settings.load_profile("actionlens")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Shells start what runs in the background so, and what we start would inherit it: Ctrl-C could not be tried.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder with real models and clips; tests that need it are skipped where it is absent."""
    folder = os.environ.get(_ASSETS, "")
    if not folder:
        pytest.skip(NO_ASSETS)
    path = Path(folder).resolve()
    if not (path / "clips").is_dir():
        pytest.fail(f"{_ASSETS}={folder}: there is no {path / 'clips'}")
    return path


@dataclass(frozen=True)
class Exported:
    """A tiny model's folder, and the graph of it with METHODS. names: of the graph's outputs."""

    METHODS: ClassVar = ("grad-cam", "dtd", "selective-relevance", "atr")
    folder: Path
    graph: Path
    names: tuple[str, ...]


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Written once: it takes seconds."""
    from handlers.exporting.onnx_graph import export
    from tests.handlers import networks

    folder = networks.folder(
        tmp_path_factory.mktemp("exported") / "tiny",
        architecture="motion-cnn",
        arguments={"width": 2},
        layer="",
        input={"frames": 4, "height": 16, "width": 16, "color": "bgr", "mean": [0.5, 0.4, 0.3]},
    )
    graph = folder / "model.onnx"
    return Exported(folder, graph, export(folder, Exported.METHODS, graph))


@pytest.fixture(scope="session", autouse=True)
def _data(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    """Keep what services store, in this process and its children, out of the user's own data folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACTIONLENS_DATA", str(tmp_path_factory.mktemp("data")))
        yield


_TOGETHER = ("tests/service/backends", "tests/service/gateway", "tests/e2e")
"""Folders whose tests share a running service: they stay in one process. Elsewhere files are what is shared out."""
_WITH = {"tests/handlers/exporting/test_graph.py": "tests/service/backends"}
"""What is exported once is not to be exported in another process once more."""
_FIRST = ("tests/service/backends", "tests/service/jobs", "tests/e2e")
"""The longest parts first; backends before all that start services: they look at every process below this one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In which order several processes share the tests."""
    root = Path(__file__).parents[1]

    def rank(item: pytest.Item) -> int:
        path = item.path.relative_to(root).as_posix()
        return next((rank for rank, folder in enumerate(_FIRST) if path.startswith(folder + "/")), len(_FIRST))

    items.sort(key=rank)


class Scheduling(LoadScopeScheduling):
    """Which tests stay together when several processes share them."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        return _WITH.get(file) or next((folder for folder in _TOGETHER if file.startswith(folder + "/")), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """The scheduler of `--numprocesses`. (The groups of pytest-xdist 3.8 do nothing under pytest 9.2.)"""
    return Scheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn "system component ... is absent" skips into failures where all of them must be there."""
    report = yield
    if os.environ.get(_REQUIRE) == "1" and report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if reason.startswith(_SYSTEM):
            report.outcome = "failed"
            report.longrepr = f"{reason}; {_REQUIRE}=1 asks for it to be installed"
    return report
