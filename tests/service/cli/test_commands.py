"""The commands against the real service, started as a user starts it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from service.cli.main import app
from tests.handlers import networks
from tests.service.cli.absent import EVERYTHING, command_without
from tests.service.cli.service_process import PROGRAM, ServiceProcess, environment, serving
from tests.service.client.numbered_video import write_video
from tests.waiting import PATIENCE

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("store")
    networks.folder(store / "tiny")
    write_video(store / "tiny" / "sample.mp4", 20)
    return store


@pytest.fixture(scope="module")
def service(store: Path) -> Iterator[ServiceProcess]:
    with serving(store, "--default-model", "tiny") as process:
        process.wait_until_ready()
        yield process


@pytest.fixture(scope="module")
def address(service: ServiceProcess) -> str:
    return service.wait_until_ready()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("clips") / "grey.mp4", 20)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"ACTIONLENS_ADDRESS": ""})


def program(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, *map(str, arguments)]
    env = environment(PYTHONPATH=str(ROOT))
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False, env=env)


def test_serve_announces_where_everything_is(service: ServiceProcess, address: str) -> None:
    assert "http://127.0.0.1:" in service.shown
    assert "sample.mp4" in service.shown
    assert f"--address {address}" in service.shown
    health = run("health", "--address", address)
    assert (health.exit_code, health.stdout.strip()) == (0, f"{address}: SERVING")


def test_explain_shows_the_answer_and_writes_everything(address: str, clip: Path, tmp_path: Path) -> None:
    done = run(
        "explain", clip, "-a", address, "-x", "grad-cam", "-x", "selective-relevance:threshold=2", "-o", tmp_path
    )
    assert done.exit_code == 0, done.output
    for label in networks.LABELS:
        assert label in done.stdout
    assert "%" in done.stdout
    names = ["grey.grad-cam.mp4", "grey.selective-relevance.mp4", "grey.sheet.png", "grey.json", "grey.npz"]
    for name in names:
        assert str(tmp_path / name) in done.stdout
        assert (tmp_path / name).stat().st_size > 0
    document = json.loads((tmp_path / "grey.json").read_text(encoding="utf-8"))
    assert document["explanations"][1]["provenance"]["parameters"]["threshold"] == 2
    # Uniform sampling of 20 frames for a model of 6.
    assert document["frames"]["used"] == [round(index) for index in np.linspace(0, 19, 6)]


def test_the_client_alone_writes_what_needs_no_drawing(address: str, clip: Path, tmp_path: Path) -> None:
    done = command_without(EVERYTHING, "explain", clip, "-a", address, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "grad-cam" in done.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["grey.json", "grey.npz"]
    assert done.stderr == "for overlay videos and contact sheets, pip install 'actionlens[media]'\n"


def test_in_process_gives_the_same_answer(address: str, store: Path, clip: Path) -> None:
    arguments = ("explain", clip, "--json", "-m", "tiny", "--gap")
    served = json.loads(run(*arguments, "-a", address).stdout)
    local = json.loads(run(*arguments, "--in-process", "--store", store).stdout)
    for answer in (served, local):
        for key in ("timings", "clip"):
            answer.pop(key)
    assert served == local
    cam, selective = served["explanations"]
    assert f"insertion-deletion gap {cam['quality']['insertion_deletion_gap']:+.2f}" in cam["reading"]
    assert selective["quality"]["gap_left_out"] or "insertion_deletion_gap" in selective["quality"]
    assert "agreement" in served["quality"] or served["quality"]["agreement_left_out"]


def test_several_clips_one_of_them_broken(address: str, clip: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_text("not a video")
    done = run("explain", broken, clip, "-a", address, "-x", "none")
    assert done.exit_code == 1
    assert "broken.mp4: clip.video" in done.stderr
    assert "grey.mp4" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("explain", "{clip}", "-x", "grad-camm"), 1, "did you mean grad-cam"),
        (("explain", "{clip}", "-m", "absent"), 1, "served: tiny"),
        (("explain", "{clip}", "--target", "lefd"), 1, "did you mean 'left'"),
        (("explain", "{clip}", "--sampling", "indices:0,1"), 1, "6"),
        (("explain", "{clip}.absent"), 2, "does not exist"),
        (("explain", "{clip}", "--store", "."), 2, "--in-process"),
        (("explain", "{clip}", "--timeout", "-1"), 2, "--timeout"),
        (("stream", "nowhere"), 1, "camera number"),
        (("models", "show", "absent"), 1, "served: tiny"),
        (("serve", "--once"), 2, "--demo"),
    ],
)
def test_failures_say_what_to_do(address: str, clip: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    env = environment(PYTHONPATH=str(ROOT), ACTIONLENS_ADDRESS=address)
    command = [*PROGRAM, *(part.format(clip=clip) for part in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False, env=env)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_settings_of_a_service_do_not_confuse_its_clients(address: str, clip: Path, store: Path) -> None:
    """As in a container, where the variables of the service are there for every command."""
    env = environment(PYTHONPATH=str(ROOT), ACTIONLENS_MODEL_STORE=str(store), ACTIONLENS_PORT=address.split(":")[1])
    for arguments in (["explain", str(clip), "-x", "none"], ["models", "list"], ["health"]):
        done = subprocess.run(
            [*PROGRAM, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False, env=env
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_nobody_there_is_said_at_once(clip: Path) -> None:
    done = program("explain", clip, "--address", "127.0.0.1:1")
    assert done.returncode == 1
    assert "actionlens serve" in done.stderr


def test_a_file_is_streamed_without_loss(address: str, clip: Path) -> None:
    done = run("stream", clip, "-a", address, "--hop", "2", "--json", "-x", "grad-cam", "--gap")
    assert done.exit_code == 0, done.output
    *windows, last = map(json.loads, done.stdout.splitlines())
    summary = last["summary"]
    # A window of 6 frames ends at frames 5, 7 ... 19.
    assert [window["answer"]["frames"]["used"][-1] for window in windows] == list(range(5, 20, 2))
    assert [window["window"] for window in windows] == list(range(8))
    assert all("insertion_deletion_gap" in window["answer"]["explanations"][0]["quality"] for window in windows)
    assert summary["counts"]["received"] == 20
    assert summary["windows"] == 8
    assert summary["skipped_windows"] == 0


@pytest.mark.alone
def test_a_live_source_ends_after_its_seconds_with_every_frame_accounted_for(address: str, clip: Path) -> None:
    done = run("stream", clip, "-a", address, "--realtime", "--loop", "--seconds", "1.5", "--json", "-x", "none")
    assert done.exit_code == 0, done.output
    *windows, last = map(json.loads, done.stdout.splitlines())
    counts = last["summary"]["counts"]
    assert windows
    assert 8 <= counts["received"] <= 25
    parts = ("used", "dropped_stale", "dropped_full", "rejected", "waiting")
    assert counts["received"] == sum(counts[part] for part in parts)


def test_stream_lines_for_people(address: str, clip: Path) -> None:
    done = run("stream", clip, "-a", address, "--max-windows", "3", "--loop", "-x", "grad-cam")
    assert done.exit_code == 0, done.output
    titles, *lines = done.stdout.split("\n\n")[0].splitlines()
    assert titles.split()[0] == "window"
    assert [line.split()[0] for line in lines] == ["0", "1", "2"]
    assert all("grad-cam" in line and line[titles.index("reading") :].strip() for line in lines)
    # Under its title each number ends where the title does.
    for title in ("window", "lag ms", "dropped", "skipped"):
        end = titles.index(title) + len(title)
        assert all(line[end - 1].isdigit() and line[end] == " " for line in lines)
    assert "frames received =" in done.stdout


def test_a_budget_leaves_methods_out_and_says_so(address: str, clip: Path) -> None:
    done = run("stream", clip, "-a", address, "--max-windows", "4", "-x", "grad-cam", "--max-overhead", "0")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()[1:5]
    assert all(re.search(r" prediction +grad-cam left out: explaining may take", line) for line in lines)


def test_an_overhead_budget_is_kept_by_a_real_model(address: str, clip: Path) -> None:
    methods = ("-x", "grad-cam", "-x", "selective-relevance")
    done = run(
        "stream", clip, "-a", address, "--loop", "--max-windows", "80", "--json", *methods, "--max-overhead", "50"
    )
    assert done.exit_code == 0, done.output
    answers = [json.loads(line)["answer"] for line in done.stdout.splitlines()[:80]]
    times = [answer["timings"] for answer in answers]
    explain = [sum(entry.get("explain", ())) for entry in times]
    predict = sum(entry["forward"] / entry["batch_size"] for entry in times)
    # One expensive window too many, and those that were in work beside it.
    assert sum(explain) <= 0.5 * predict + 5 * max(explain)
    assert all(
        "left out: explaining may take 50 % of predicting" in answer["level_reason"]
        for answer in answers
        if len(answer["explanations"]) < 2
    )


def test_ctrl_c_ends_a_stream_with_its_summary(address: str, clip: Path) -> None:
    command = [*PROGRAM, "stream", str(clip), "--loop", "--realtime", "-a", address, "-x", "none"]
    env = environment(PYTHONPATH=str(ROOT), PYTHONUNBUFFERED="1")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout
        assert "lag" in process.stdout.readline()
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "frames received =" in rest
    assert errors == ""


def test_models_of_the_service_and_of_a_store(address: str, store: Path) -> None:
    served = run("models", "list", "-a", address, "--json")
    assert [json.loads(line)["name"] for line in served.stdout.splitlines()] == ["tiny"]
    stored = run("models", "list", "--store", store)
    assert "tiny" in stored.stdout
    shown = run("models", "show", "tiny", "-a", address)
    assert shown.exit_code == 0, shown.output
    assert "threshold" in shown.stdout
    assert "6 frames of 16 x 12" in shown.stdout


def test_check_reports_every_step(store: Path, tmp_path: Path) -> None:
    done = run("models", "check", "tiny", "--store", store, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert [step["name"] for step in report["steps"]] == ["card", "digest", "weights", "canary"]
    assert {method["method"] for method in report["methods"] if method["supported"]} >= {"grad-cam"}
    broken = networks.folder(tmp_path / "broken")
    weights = broken / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    refused = run("models", "check", broken, "--store", store)
    assert refused.exit_code == 1
    assert "weights.sha256" in refused.stdout


def test_import_makes_a_model_of_card_and_weights(tmp_path: Path) -> None:
    source = networks.folder(tmp_path / "source", name="mine")
    arguments = (
        "models",
        "import",
        source / "card.yaml",
        "--weights",
        source / "weights.safetensors",
        "--store",
        tmp_path / "store",
    )
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    assert "explained by atr" in done.stdout
    assert (tmp_path / "store" / "mine" / "card.yaml").is_file()
    again = run(*arguments)
    assert again.exit_code == 1
    assert "--replace" in again.stderr
    assert run(*arguments, "--replace").exit_code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_stops_cleanly(store: Path, number: signal.Signals) -> None:
    with serving(store, "--default-model", "tiny") as process:
        address = process.wait_until_ready()
        assert process.stop(number) == 0
    assert "Traceback" not in process.shown
    assert run("health", "-a", address).exit_code == 1


def test_the_demonstration_explains_the_sample_and_stops(store: Path, tmp_path: Path) -> None:
    with serving(store, "--default-model", "tiny", "--demo", "--once", cwd=tmp_path) as process:
        assert process.process.wait(PATIENCE) == 0, process.shown
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "sample.grad-cam.mp4",
        "sample.json",
        "sample.npz",
        "sample.selective-relevance.mp4",
        "sample.sheet.png",
    ]


def test_help_comes_at_once_and_version_is_known() -> None:
    heavy = {"grpc", "cv2", "av", "numpy", "pydantic", "torch"}
    imported = f"import sys, service.cli; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [PROGRAM[0], "-c", imported], capture_output=True, text=True, timeout=PATIENCE, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == ""
    shown = run("--version")
    assert shown.exit_code == 0
    assert re.fullmatch(r"actionlens [\d.]+( \(commit [0-9a-f]+(, modified)?\))?\n", shown.stdout)
