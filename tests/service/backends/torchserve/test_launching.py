"""Starting TorchServe, and reading its log."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionlens.archive import write_archive
from actionlens.card import CardError, read_card
from service.backends.model_choice import chosen_models
from service.backends.torchserve import config
from service.backends.torchserve import startup_log as log
from service.errors import NotFound, Unavailable
from service.settings import Precision, Settings
from tests.handlers import networks
from tests.service.backends.requests import SLOW, TINY


@given(
    workers=st.integers(0, 8),
    threads=st.integers(0, 64),
    cores=st.integers(1, 64),
    batch=st.integers(1, 64),
)
def test_threads_of_one_model_never_outnumber_the_cores(workers: int, threads: int, cores: int, batch: int) -> None:
    made = config.shape(Settings(workers=workers, threads=threads, batch_size=batch), cores)
    assert made.threads >= 1
    assert made.threads * made.workers <= max(cores, made.workers)
    assert not threads or made.threads <= threads
    assert made.workers == max(workers, 1)
    assert made.slots >= 2 * batch
    if not threads and cores >= made.workers:
        assert (made.threads + 1) * made.workers > cores  # none is left idle that every worker could have used


def test_the_workers_are_told_the_settings_that_they_compute_with(tmp_path: Path) -> None:
    given = Settings(relevance_bytes=3 * 2**20, precision=Precision.AUTO)
    environment = config.environment(tmp_path, 2, given, {})
    assert environment["ACTIONLENS_WORKER_THREADS"] == "2"
    assert environment["ACTIONLENS_WORKER_RELEVANCE_BYTES"] == str(3 * 2**20)
    assert environment["ACTIONLENS_WORKER_PRECISION"] == "auto"
    # Before TorchServe would kill them.
    assert 0 < float(environment["ACTIONLENS_WORKER_SECONDS"]) < given.response_seconds


def test_java_and_the_workers_get_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTIONLENS_JOBS_DB", "postgresql://user:secret@host/jobs")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    environment = config.environment(tmp_path, 2, Settings(), {"BESIDE": "this"})
    assert not any("secret" in value for value in environment.values())
    assert environment["BESIDE"] == "this"


def test_the_folder_has_what_torchserve_reads(model_store: Path, settings: Settings, tmp_path: Path) -> None:
    models = chosen_models(settings)
    sockets = config.prepare(tmp_path, models, settings)
    lines = (tmp_path / "config.properties").read_text().splitlines()
    properties = dict(line.split("=", 1) for line in lines)
    assert all(":0" not in value and "0.0.0.0" not in value for value in properties.values())
    addresses = [value for name, value in properties.items() if name.endswith("_address")]
    assert len(addresses) == 5
    # Nobody else reaches what lies in the private folder; gRPC knows ports only.
    private = {address.removeprefix("unix:") for address in addresses if address.startswith("unix:")}
    assert len(private) == 3
    assert {str(sockets.inference), str(sockets.management)} < private
    assert {Path(each).parent for each in private} == {tmp_path}
    assert all(address == "127.0.0.1" for address in addresses if not address.startswith("unix:"))
    assert properties["grpc_inference_port"] != properties["grpc_management_port"]
    assert int(properties["job_queue_size"]) > config.shape(settings).slots
    registered = json.loads(properties["models"])
    assert registered[TINY]["1.0"]["batchSize"] == settings.batch_size
    for name in (TINY, SLOW):
        with zipfile.ZipFile(tmp_path / "store" / f"{name}.mar") as archive:
            manifest = json.loads(archive.read("MAR-INF/MANIFEST.json"))
            assert manifest["model"]["modelName"] == name
            assert manifest["model"]["handler"] in archive.namelist()
            archive.extractall(tmp_path / name)
        assert read_card(tmp_path / name) == read_card(model_store / name)
        assert (tmp_path / name / "weights.safetensors").read_bytes() == (
            model_store / name / "weights.safetensors"
        ).read_bytes()


def test_an_archive_without_weights_is_refused(tmp_path: Path) -> None:
    folder = networks.folder(tmp_path / "model")
    (folder / "weights.safetensors").unlink()
    with pytest.raises(CardError, match=r"weights\.file: there is no weights\.safetensors"):
        write_archive(folder, tmp_path)
    assert not list(tmp_path.glob("*.mar"))


def test_models_are_chosen_by_name(settings: Settings, tmp_path: Path) -> None:
    assert list(chosen_models(settings)) == [SLOW, TINY]
    assert list(chosen_models(settings.model_copy(update={"models": (TINY,)}))) == [TINY]
    with pytest.raises(NotFound, match=r"none-such not in .*; it holds: slow, tiny"):
        chosen_models(settings.model_copy(update={"models": (TINY, "none-such")}))
    with pytest.raises(Unavailable, match="holds no model"):
        chosen_models(settings.model_copy(update={"model_store": tmp_path}))
    (networks.folder(tmp_path / "bad") / "card.yaml").write_text("name: 7")
    with pytest.raises(Unavailable, match=r"card\.yaml: name"):
        chosen_models(settings.model_copy(update={"model_store": tmp_path}))


CRASH = """\
2026-11-21T04:11:12,907 [INFO ] W-9001-hand.signs_2.0-stdout MODEL_LOG - Torch worker started.
2026-11-21T04:11:12,950 [INFO ] W-9001-hand.signs_2.0-stdout MODEL_LOG - Backend worker process died.
2026-11-21T04:11:12,950 [INFO ] W-9001-hand.signs_2.0-stdout MODEL_LOG - Traceback (most recent call last):
2026-11-21T04:11:12,951 [INFO ] W-9001-hand.signs_2.0-stdout MODEL_LOG -   File "weights.py", line 7, in read
2026-11-21T04:11:12,951 [INFO ] W-9001-hand.signs_2.0-stdout MODEL_LOG - handlers.errors.ModelError: fc1.weight: shape
2026-11-21T04:11:12,999 [INFO ] W-9001-hand.signs_2.0 WorkerThread - Retry worker: 9001 in 1 seconds.
2026-11-21T04:11:13,999 [INFO ] W-9000-other_1.0-stdout MODEL_LOG - Torch worker started.
"""


def test_the_log_tells_who_died_and_of_what() -> None:
    lines = CRASH.splitlines()
    assert log.deaths(lines) == {"hand.signs": 1}
    assert log.deaths(lines + lines) == {"hand.signs": 2}
    assert log.reason(lines, "hand.signs") == "handlers.errors.ModelError: fc1.weight: shape"
    assert log.reason(lines[:4], "hand.signs") == ""
    assert log.reason(lines, "other") == ""


def test_the_tail_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert log.tail(path) == []
    path.write_text("".join(f"line {number}\n" for number in range(100_000)))
    lines = log.tail(path)
    assert lines[-1] == "line 99999"
    assert sum(map(len, lines)) <= 64 * 1024


def test_workers_spin_briefly_unless_told_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    assert config.environment(tmp_path, 1, Settings(), {})["GOMP_SPINCOUNT"] == "1000"
    monkeypatch.setenv("GOMP_SPINCOUNT", "5")
    assert config.environment(tmp_path, 1, Settings(), {})["GOMP_SPINCOUNT"] == "5"
