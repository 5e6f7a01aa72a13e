"""The command evaluate, against the real service and without one."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from service.cli import evaluation_jobs
from service.cli.main import app
from service.settings import BackendName
from tests.handlers import networks
from tests.service.cli.absent import EVERYTHING, command_without
from tests.service.cli.service_process import PROGRAM, environment, serving
from tests.service.client.numbered_video import write_video
from tests.service.job_service import job_settings, served
from tests.waiting import PATIENCE

ROOT = Path(__file__).resolve().parents[3]
MEASURES = ("--measure", "insertion:steps=4", "--draws", "1", "-x", "grad-cam", "-x", "dtd")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("store")
    networks.folder(store / "tiny")
    return store


@pytest.fixture(scope="module")
def address(store: Path) -> Iterator[str]:
    with serving(store, "--default-model", "tiny") as process:
        yield process.wait_until_ready()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    return [write_video(folder / f"{name}.mp4", 12 + n) for n, name in enumerate("abc")]


@pytest.fixture(scope="module")
def truth(clips: list[Path]) -> Path:
    """Of the first clip all, of the second its class, of the third nothing."""
    folder = clips[0].parent
    masks = np.zeros((12, 48, 64), bool)
    masks[:, 10:30, 20:50] = True
    np.savez_compressed(folder / "a.npz", mask=masks)
    file = folder / "truth.csv"
    file.write_text("clip,class,first_frame,last_frame,mask\na.mp4,left,3,9,a.npz\nb.mp4,1,,,\nelse.mp4,left,,,\n")
    return file


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"ACTIONLENS_ADDRESS": ""})


def rows(folder: Path) -> dict[tuple[str, str, str], dict[str, str]]:
    with (folder / "table.csv").open(newline="", encoding="utf-8") as file:
        return {(row["measure"], row["value"], row["method"]): row for row in csv.DictReader(file)}


def test_clips_are_measured_by_a_job(address: str, clips: list[Path], truth: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run("evaluate", *clips, "--truth", truth, *MEASURES, "-a", address, "-o", out)
    assert done.exit_code == 0, done.output
    # What it will do is said first: the baseline once, and each method, on all clips.
    first = done.stdout.splitlines()
    assert first[0].startswith("tiny 1")
    assert "3 clips, grad-cam, dtd" in first[0]
    assert "insertion:steps=4: 3 x 5 forwards a clip" in done.stdout
    assert "forwards in all, about" in done.stdout
    assert "truth.csv says nothing of c.mp4" in done.stderr
    assert "truth.csv also names else.mp4 (line 4), not given here" in done.stderr
    assert "3 of 3 clips measured" in done.stderr
    assert "3 clips show no significant difference" in done.stdout

    table = rows(out)
    own = table["insertion:steps=4", "insertion", "grad-cam"]
    assert (own["n"], own["better"], own["unit"]) == ("3", "higher", "%")
    # The exact mask is known of the first clip alone.
    assert table["insertion:steps=4", "insertion", "exact-mask"]["n"] == "1"
    assert ("insertion:steps=4", "insertion", "random") in table
    document = json.loads((out / "table.json").read_text(encoding="utf-8"))
    assert [clip["name"] for clip in document["clips"]] == ["a", "b", "c"]
    assert [clip.get("label") for clip in document["clips"]] == [0, 1, None]
    assert (document["model"], document["seed"]) == ("tiny", 0)
    assert float(own["mean"]) == document["table"][0]["mean"]
    with np.load(out / "clips.npz", allow_pickle=False) as arrays:
        values = arrays["insertion:steps=4/insertion/grad-cam"]
        assert arrays["clips"].tolist() == ["a", "b", "c"]
        assert arrays["curves/insertion:steps=4/insertion/grad-cam"].shape == (3, 5)
    assert values.mean() == pytest.approx(float(own["mean"]))
    assert "| grad-cam | " in (out / "table.md").read_text(encoding="utf-8")
    for name in ("insertion-steps-4.curves.png", "insertion-steps-4.histograms.png"):
        with Image.open(out / name) as image:
            assert min(image.size) > 200
        assert f"({name})" in (out / "table.md").read_text(encoding="utf-8")

    # The same request is the same job, and comes back at once with the same files.
    again = tmp_path / "again"
    job = json.loads(run("jobs", "list", "-a", address, "--json").stdout.splitlines()[0])["id"]
    back = run("evaluate", "--job", job, "-a", address, "-o", again)
    assert back.exit_code == 0, back.output
    for name in ("table.csv", "table.json", "table.md", "insertion-steps-4.curves.png"):
        assert (again / name).read_bytes() == (out / name).read_bytes()
    compared = run("evaluate", "--job", job, "-a", address, "--against", out)
    assert "against tiny 1" in compared.stdout
    assert "no difference found in" in compared.stdout


def test_without_a_service_the_table_is_the_same(
    address: str, store: Path, clips: list[Path], truth: Path, tmp_path: Path
) -> None:
    arguments = ("evaluate", *clips[:2], "--truth", truth, *MEASURES, "-m", "tiny", "--json")
    served, here = run(*arguments, "-a", address), run(*arguments, "--in-process", "--store", store)
    assert (served.exit_code, here.exit_code) == (0, 0), here.output
    lines = [[json.loads(line) for line in done.stdout.splitlines()] for done in (served, here)]
    # A line per clip as it comes, then the tables.
    assert [line["clip"] for line in lines[0][:-1]] == ["a", "b"]
    assert lines[0][-1]["table"] == lines[1][-1]["table"]
    assert lines[0][-1]["comparisons"] == lines[1][-1]["comparisons"]


@pytest.mark.timeout(600)
def test_a_job_over_torchserve_has_the_same_table(store: Path, clips: list[Path], truth: Path, tmp_path: Path) -> None:
    # Only what the job's worker computes with is TorchServe: the other end of the service is not asked for numbers.
    patient = {"backend": BackendName.TORCHSERVE, "start_seconds": 3600}
    arguments = ("evaluate", *clips[:2], "--truth", truth, *MEASURES, "-m", "tiny")
    with served(job_settings(store, tmp_path / "data").model_copy(update=patient)) as there:
        done = run(*arguments, "-a", there, "-o", tmp_path / "served")
    assert done.exit_code == 0, done.output
    here = run(*arguments, "--in-process", "--store", store, "-o", tmp_path / "here")
    assert here.exit_code == 0, here.output
    found, expected = rows(tmp_path / "served"), rows(tmp_path / "here")
    assert found.keys() == expected.keys()
    for line, own in found.items():
        assert (own["n"], own["reasons"]) == (expected[line]["n"], expected[line]["reasons"])
        if own["mean"]:
            assert float(own["mean"]) == pytest.approx(float(expected[line]["mean"]), rel=1e-3, abs=1e-3)


def test_generated_clips_have_exact_masks(store: Path) -> None:
    arguments = ("evaluate", "--generated", "2", "--seed", "5", *MEASURES, "-m", "tiny", "--json")
    done = run(*arguments, "--in-process", "--store", store)
    assert done.exit_code == 0, done.output
    assert "tiny has not the classes of generated clips" in done.stderr
    *each, tables = map(json.loads, done.stdout.splitlines())
    assert [line["clip"] for line in each] == ["generated-0", "generated-1"]
    assert any(line["method"] == "exact-mask" for line in tables["table"])
    assert run(*arguments, "--in-process", "--store", store).stdout == done.stdout


def test_many_clips_are_several_jobs_and_the_same_request_is_the_same_jobs(
    address: str, clips: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (
        "evaluate",
        *clips,
        "--measure",
        "insertion:steps=1",
        "--draws",
        "0",
        "-x",
        "dtd",
        "-a",
        address,
        "--json",
    )
    whole = run(*arguments)
    monkeypatch.setattr(evaluation_jobs, "_PART_BYTES", 1)
    parts = run(*arguments, "--request-id", "parted")
    assert (whole.exit_code, parts.exit_code) == (0, 0), parts.output
    assert parts.stdout.splitlines()[-1] == whole.stdout.splitlines()[-1]
    again = run(*arguments, "--request-id", "parted")
    assert again.stdout == parts.stdout
    jobs = [json.loads(line) for line in run("jobs", "list", "-a", address, "--json").stdout.splitlines()]
    ours = {job["request_id"]: job["id"] for job in jobs if job["request_id"].startswith("parted")}
    assert sorted(ours) == ["parted", "parted-2", "parted-3"]
    back = [part for name in sorted(ours) for part in ("--job", ours[name])]
    assert run("evaluate", *back, "-a", address, "--json").stdout == parts.stdout


def test_a_broken_clip_fails_alone(address: str, clips: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_text("not a video")
    done = run("evaluate", broken, clips[0], *MEASURES, "-a", address)
    assert done.exit_code == 1
    assert "1 clip has no result and is in no mean" in done.stdout
    assert "broken: clip" in done.stdout
    assert "grad-cam" in done.stdout


def test_a_plan_does_nothing(address: str, clips: list[Path]) -> None:
    before = run("jobs", "list", "-a", address, "--json").stdout
    done = run("evaluate", *clips, *MEASURES, "-a", address, "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    (document,) = map(json.loads, done.stdout.splitlines())
    # Insertion of 4 steps: 5 clips of each of 2 methods and one random explanation.
    insertion = document["plan_of_a_clip"]["measures"][0]
    assert (insertion["measure"], insertion["forwards"], insertion["times"]) == ("insertion:steps=4", 5, 3)
    assert document["forwards"] == 3 * document["plan_of_a_clip"]["forwards"]
    assert run("jobs", "list", "-a", address, "--json").stdout == before


def test_measures_are_listed(address: str) -> None:
    done = run("evaluate", "--list-measures", "-a", address)
    assert done.exit_code == 0, done.output
    (line,) = [line for line in done.stdout.splitlines() if line.split()[:1] == ["insertion"]]
    assert "higher is better" in line
    assert "steps" in line


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "nothing is given; give clips, --generated N or --job ID"),
        (("{clip}", "--generated", "2"), 2, "CLIP and --generated are given"),
        (("--generated", "2", "--truth", "{truth}"), 2, "speaks of clips, and none are given"),
        (("--in-process", "--job", "a"), 2, "is for a running service"),
        (("{clip}", "--store", "."), 2, "is for --in-process"),
        (("{clip}", "--measure", "inserton"), 1, "did you mean insertion"),
        (("{clip}", "--measure", "steps=3"), 1, "is a parameter of no measure"),
        (("{clip}", "--measure", "insertion:steps=many"), 1, "steps"),
        (("{clip}", "-x", "grad-camm"), 1, "did you mean grad-cam"),
        (("{clip}", "--truth", "{bad}"), 1, "bad.csv line 2: class: "),
        (("{clip}", "--truth", "{others}"), 1, "others.csv speaks of none of these clips"),
        (("--job", "absent"), 1, "absent"),
        (("{clip}", "--against", "{folder}"), 1, "holds no evaluation to compare with"),
    ],
)
def test_failures_say_what_to_do(
    address: str, clips: list[Path], truth: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    bad, others = tmp_path / "bad.csv", tmp_path / "others.csv"
    bad.write_text("clip,class\na.mp4,lefd\n")
    others.write_text("clip,class\nz.mp4,left\n")
    given = [part.format(clip=clips[0], truth=truth, bad=bad, others=others, folder=tmp_path) for part in arguments]
    done = run("evaluate", *given, "-a", address)
    # Boxes of usage errors break lines.
    said = " ".join(done.stderr.replace("│", " ").split()) if code == 2 else str(done.exception or "") + done.stderr
    assert done.exit_code == code, said
    assert says in said


def test_ctrl_c_leaves_the_job_running(address: str, clips: list[Path], tmp_path: Path) -> None:
    command = [*PROGRAM, "evaluate", *map(str, clips), "-x", "grad-cam", "-a", address, "-o", str(tmp_path)]
    command += ["--measure", "insertion:steps=1000", "--draws", "20"]
    env = environment(PYTHONPATH=str(ROOT), PYTHONUNBUFFERED="1")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stderr
        assert "0 of 3 clips measured" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    job = json.loads(run("jobs", "list", "-a", address, "--json").stdout.splitlines()[0])
    assert f"job {job['id']} goes on; come back with `actionlens evaluate --job {job['id']} -o {tmp_path}" in errors
    assert "Traceback" not in errors
    assert job["state"] in ("JOB_STATE_QUEUED", "JOB_STATE_RUNNING")
    assert run("jobs", "cancel", job["id"], "-a", address).exit_code == 0


def test_the_client_alone_writes_tables_without_plots(address: str, clips: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = command_without(EVERYTHING, "evaluate", clips[0], *MEASURES, "-a", address, "-o", out)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in out.iterdir()) == ["clips.npz", "table.csv", "table.json", "table.md"]
    assert "for plots, pip install 'actionlens[media]'" in done.stderr
