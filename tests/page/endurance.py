"""The page live for minutes: python -m tests.page.endurance [--minutes 10] [--model NAME] [--out FOLDER] CLIP

Starts `actionlens serve` as a user does, and a Chromium whose webcam shows the clip (a video, or a folder of pictures)
over and over. Every 30 seconds it notes the memory of the service, of its workers and of the page, the lag of the
windows since, and whether every frame is accounted for. Prints a table, and draws it where a folder is given.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
from numpy.typing import NDArray
from playwright.sync_api import Browser, CDPSession, Page, expect, sync_playwright

from service.sources import open_source
from tests.page.camera import write_camera
from tests.page.running import PATIENCE, ROOT, arguments

_EVERY = 30.0
_READY_SECONDS = 120
_MIB = 2**20
# Keeps what every window tells; the page itself keeps the last sixty.
_COLLECT = """() => {
  window.told = [];
  const { cost, live } = window.page;
  const show = cost.show.bind(cost);
  cost.show = (window_) => {
    const { lag, counts, skipped_windows: skipped } = window_;
    window.told.push({ lag, counts, skipped, captured: live.sequence });
    show(window_);
  };
}"""


@dataclass(frozen=True)
class Sample:
    """Memory in MiB, lag in seconds, frames since the stream opened.

    missing: frames that the page left out, underway: captured and not yet known to the service, uncounted: received and
    in none of the service's counts.
    """

    minutes: float
    service: float
    workers: float
    page: float
    heap: float
    windows: int
    lag_p50: float
    lag_p95: float
    received: int
    dropped: int
    missing: int
    underway: int
    skipped: int
    uncounted: int


def main() -> None:
    """Run, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--model", default="")
    parser.add_argument("--store", type=Path, default=ROOT / "model_store")
    parser.add_argument("--backend", default="torchserve")
    parser.add_argument("--methods", default="grad-cam,selective-relevance,atr")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        camera = write_camera(folder / "clip.y4m", *_film(asked.clip))
        with subprocess.Popen(
            _serve(asked), stdout=subprocess.PIPE, text=True, cwd=ROOT, env=_environment(folder)
        ) as service:
            try:
                samples = _watch(service, camera, asked)
            finally:
                service.terminate()
                service.wait(30)
    print(_table(samples))
    if asked.out is not None:
        asked.out.mkdir(parents=True, exist_ok=True)
        (asked.out / "endurance.json").write_text(json.dumps([asdict(sample) for sample in samples], indent=1) + "\n")
        _draw(samples, asked.out / "endurance.png")


def _serve(asked: argparse.Namespace) -> list[str]:
    ports = ("--port", "0", "--metrics-port", "0", "--page-port", "0")
    return [
        sys.executable, "-m", "service.cli", "serve", *ports,
        "--store", str(asked.store), "--backend", asked.backend,
    ]  # fmt: skip


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "ACTIONLENS_DATA": str(folder / "data"), "PYTHONUNBUFFERED": "1"}


def _film(clip: Path) -> tuple[list[NDArray[np.uint8]], int]:
    """The clip's frames with even sides, and its frame rate."""
    frames = list(open_source(str(clip)).frames)
    pictures = [_rgb(frame.picture) for frame in frames]
    height, width = (side - side % 2 for side in pictures[0].shape[:2])
    seconds = frames[-1].timestamp - frames[0].timestamp
    return [picture[:height, :width] for picture in pictures], max(1, round((len(frames) - 1) / seconds))


def _rgb(picture: NDArray[np.uint8] | bytes) -> NDArray[np.uint8]:
    if not isinstance(picture, bytes):
        return picture
    decoded = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(decoded[..., ::-1], np.uint8)


def _watch(service: subprocess.Popen[str], camera: Path, asked: argparse.Namespace) -> list[Sample]:
    address = _address(service)
    with sync_playwright() as playwright:
        program = shutil.which("chromium")
        browser = playwright.chromium.launch(
            executable_path=program, args=[*arguments(camera), "--enable-precise-memory-info"]
        )
        page = browser.new_context(viewport={"width": 1400, "height": 1100}, bypass_csp=True).new_page()
        page.set_default_timeout(PATIENCE)
        model = f"&model={asked.model}" if asked.model else ""
        page.goto(f"{address}#source=camera&methods={asked.methods}{model}")
        expect(page.locator("#freeze")).to_be_enabled(timeout=PATIENCE)
        page.evaluate(_COLLECT)
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        start = time.monotonic()
        samples: list[Sample] = []
        while time.monotonic() - start < 60 * asked.minutes:
            page.wait_for_timeout(1000 * min(_EVERY, 60 * asked.minutes))
            samples.append(_sample(page, session, browser, service, (time.monotonic() - start) / 60))
            print(_table(samples[-1:]).splitlines()[-1], flush=True)
        browser.close()
    return samples


def _address(service: subprocess.Popen[str]) -> str:
    assert service.stdout
    end = time.monotonic() + _READY_SECONDS
    page = ""
    for line in service.stdout:
        found = re.search(r"page +(http://\S+)", line)
        page = found[1] if found else page
        if page and "Ctrl-C" in line:
            return page
        if time.monotonic() > end:
            break
    raise SystemExit("the service did not start")


def _sample(
    page: Page, session: CDPSession, browser: Browser, service: subprocess.Popen[str], minutes: float
) -> Sample:
    told: list[dict[str, Any]] = page.evaluate("() => window.told.splice(0)")
    last = told[-1]
    counts = last["counts"]
    lags = [entry["lag"] for entry in told]
    dropped = counts["dropped_stale"] + counts["dropped_full"] + counts["rejected"]
    known = counts["used"] + dropped + counts["waiting"]
    metrics = {entry["name"]: entry["value"] for entry in session.send("Performance.getMetrics")["metrics"]}
    children = psutil.Process(service.pid).children(recursive=True)
    renderers = _renderers(browser)
    return Sample(
        minutes=minutes,
        service=psutil.Process(service.pid).memory_info().rss / _MIB,
        workers=sum(_resident(child) for child in children),
        page=sum(map(_resident, renderers)),
        heap=metrics["JSHeapUsedSize"] / _MIB,
        windows=len(told),
        lag_p50=float(np.quantile(lags, 0.5)),
        lag_p95=float(np.quantile(lags, 0.95)),
        received=counts["received"],
        dropped=dropped,
        missing=counts["missing"],
        underway=last["captured"] - counts["received"] - counts["missing"],
        skipped=last["skipped"],
        uncounted=counts["received"] - known,
    )


def _renderers(browser: Browser) -> list[psutil.Process]:
    """The processes that draw pages, of this browser."""
    found = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    return [psutil.Process(entry["id"]) for entry in found if entry["type"] == "renderer"]


def _resident(process: psutil.Process) -> float:
    try:
        return process.memory_info().rss / _MIB
    except psutil.NoSuchProcess:
        return 0.0


def _table(samples: list[Sample]) -> str:
    titles = (
        "  min service workers   page   heap windows  p50 ms  p95 ms "
        "received dropped missing underway skipped uncounted"
    )
    rows = [
        f"{s.minutes:5.1f} {s.service:7.0f} {s.workers:7.0f} {s.page:6.0f} {s.heap:6.1f} {s.windows:7d} "
        f"{1000 * s.lag_p50:7.0f} {1000 * s.lag_p95:7.0f} {s.received:8d} {s.dropped:7d} {s.missing:7d} "
        f"{s.underway:8d} {s.skipped:7d} {s.uncounted:9d}"
        for s in samples
    ]
    return "\n".join([titles, *rows])


def _draw(samples: list[Sample], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (memory, lag) = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
    minutes = [sample.minutes for sample in samples]
    for name in ("service", "workers", "page", "heap"):
        memory.plot(minutes, [getattr(sample, name) for sample in samples], marker=".", label=name)
    memory.set(xlabel="minutes", ylabel="MiB", title="Memory", ylim=(0, None))
    memory.legend()
    for name, label in (("lag_p50", "median"), ("lag_p95", "95 %")):
        lag.plot(minutes, [1000 * getattr(sample, name) for sample in samples], marker=".", label=label)
    lag.set(xlabel="minutes", ylabel="ms", title="Lag of a window", ylim=(0, None))
    lag.legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
