"""Every example, run as its reader would run it, and the notebook, cell by cell."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from service.client import Client
from service.rendering.heatmap import prepare_heatmap
from tests.service.cli.service_process import environment, serving
from tests.waiting import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
SAMPLE = ROOT / "model_store/motion-primitives/sample.mp4"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service with the bundled model, as the examples' defaults expect it."""
    store = tmp_path_factory.mktemp("store")
    shutil.copytree(SAMPLE.parent, store / SAMPLE.parent.name)
    with serving(store) as process:
        yield process.wait_until_ready()


def run(name: str, *arguments: str | Path, address: str = "", cwd: Path = ROOT) -> str:
    """What the script prints. It must end well and warn of nothing."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *map(str, arguments)],
        cwd=cwd,
        env=environment(PYTHONPATH=str(ROOT), ACTIONLENS_ADDRESS=address),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_clip_is_explained(address: str) -> None:
    shown = run("explain_clip.py", address=address)
    assert shown.startswith("move left")
    for method, shape in (("grad-cam", "[16, 7, 7]"), ("selective-relevance", "[16, 112, 112]"), ("atr", "[16, 16]")):
        assert re.search(rf"^{method}: .*frames.*{re.escape(shape)}, \d+ ms$", shown, re.MULTILINE), shown


def test_a_stream_is_explained_while_it_plays(address: str) -> None:
    *windows, counts = run("live_stream.py", SAMPLE, address=address).splitlines()
    assert windows
    for window in windows:
        assert re.fullmatch(r"[a-z -]+ \d\.\d\d, explanation_level_[a-z_]+, \d+ ms late", window), window
    received = {name: int(count) for name, count in re.findall(r"(\w+): (\d+)", counts.removeprefix("frames: "))}
    assert received.pop("received") == 75 == sum(received.values())


def test_a_job_is_submitted_and_its_result_fetched(address: str) -> None:
    shown = run("submit_job.py", SAMPLE, address=address).splitlines()
    assert shown[0].startswith("job ")
    assert shown[-2] == "1 of 1 done"
    assert re.fullmatch(r"sample: move left: frames .* \[16, 112, 112\]", shown[-1])


def test_a_heatmap_is_drawn_where_the_service_draws_it(address: str, tmp_path: Path) -> None:
    shown = run("own_heatmap_png.py", SAMPLE, "drawn.png", address=address, cwd=tmp_path)
    number = int(re.findall(r"drawn\.png: move left, frame (\d+); frames", shown)[0])
    with Image.open(tmp_path / "drawn.png") as image:
        drawn = np.asarray(image, np.float64)
    with av.open(SAMPLE) as video:
        frame = list(video.decode(video=0))[number].to_ndarray(format="rgb24").astype(np.float64)
    with Client(address) as client:
        result = client.explain_clip(SAMPLE, methods=["grad-cam"])
    prepared = prepare_heatmap(result.explanations["grad-cam"].message, 16, 240, 320, result.frames.placement)
    assert prepared is not None
    expected = prepared.at([*result.frames.used].index(number))
    seen = frame[..., 2] > 30  # full strength takes 0.7 of the blue away
    strength = (1 - drawn[seen, 2] / frame[seen, 2]) / 0.7
    assert np.abs(strength - expected[seen].clip(0, 1)).mean() < 0.03
    assert np.corrcoef(strength, expected[seen])[0, 1] > 0.98


def test_any_module_has_relevance() -> None:
    logit, by_frame, rows = run("relevance_of_any_module.py").splitlines()
    given, found = re.fullmatch(r"logit (\S+), relevance in all (\S+)", logit).groups()  # type: ignore[union-attr]
    assert float(found) == pytest.approx(float(given), abs=1e-4)
    assert sum(json.loads(by_frame.removeprefix("by frame: "))) == pytest.approx(float(given), abs=1e-3)
    assert rows.startswith("ATR [1, 8, 8]: ")


def test_the_notebook_runs_from_its_first_cell_to_its_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES)
    notebook = json.loads((EXAMPLES / "relevance.ipynb").read_text(encoding="utf-8"))
    assert (notebook["nbformat"], {cell["cell_type"] for cell in notebook["cells"]}) == (4, {"code", "markdown"})
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    before = mpl.get_backend()
    mpl.use("Agg")
    names: dict[str, Any] = {}
    try:
        import matplotlib.pyplot as plt

        for cell in cells:
            exec(cell, names)
        assert len(plt.get_fignums()) == 3
        for number in plt.get_fignums():
            plt.figure(number).canvas.draw()
        plt.close("all")
    finally:
        mpl.use(before)
    assert names["labels"][names["best"]] == "move left"
    shared, logit = names["heat"], float(names["forward"].logits.max())
    assert shared.shape == (16, 112, 112)
    assert float(shared.sum()) == pytest.approx(logit, rel=0.2)
    assert float(names["rows"].values.mean(1).sum()) == pytest.approx(float(shared.sum()), rel=1e-3)
    assert float(names["share"].sum()) == pytest.approx(1.0)
