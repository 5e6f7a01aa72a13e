"""The page live for minutes: python -m tests.service.gateway.endurance [--minutes 10] [--out FOLDER] CLIP

Starts `actionlens serve` as a user does, and a Chromium whose webcam shows the clip (a video, or a folder of images)
over and over. Every 30 seconds it notes the memory of the service, of its workers and of the page, lag and level of
the windows since, and whether every frame is accounted for. Prints a table and what it comes to, and draws it where a
folder is given. A budget is set as a person does, by the page's slider.
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
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
from numpy.typing import NDArray
from playwright.sync_api import Browser, CDPSession, Page, expect, sync_playwright

from service.client.frame_sources import open_source
from tests.service.gateway.camera import write_camera
from tests.service.gateway.endurance_report import Sample, draw, table, verdict
from tests.service.gateway.running import PATIENCE, ROOT, arguments

_EVERY = 30.0
_READY_SECONDS = 120
_MIB = 2**20
# Keeps what every window reports; the page itself keeps the last sixty.
_COLLECT = """() => {
  window.reported = [];
  const { cost, live } = window.page;
  const show = cost.show.bind(cost);
  cost.show = (window_, ...rest) => {
    const { lag, counts, skipped_windows: skipped, answer } = window_;
    window.reported.push({ lag, counts, skipped, level: answer.level, captured: live.sequence });
    show(window_, ...rest);
  };
}"""


def main() -> None:
    """Run, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--budget-ms", type=int, help="answer within so long: a position of the page's slider")
    parser.add_argument("--overhead", type=int, help="explain for at most so many percent of predicting, likewise")
    parser.add_argument("--model", default="")
    parser.add_argument("--store", type=Path, default=ROOT / "model_store")
    parser.add_argument("--backend", default="torchserve")
    parser.add_argument("--methods", default="grad-cam,selective-relevance,atr")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        camera = write_camera(folder / "clip.y4m", *_read_clip(asked.clip))
        with subprocess.Popen(
            _serve(asked), stdout=subprocess.PIPE, text=True, cwd=ROOT, env=_environment(folder)
        ) as service:
            try:
                samples = _watch(service, camera, asked)
            finally:
                service.terminate()
                service.wait(30)
    budget = asked.budget_ms / 1000 if asked.budget_ms else None
    print(verdict(samples, budget))
    if asked.out is not None:
        asked.out.mkdir(parents=True, exist_ok=True)
        (asked.out / "endurance.json").write_text(json.dumps([asdict(sample) for sample in samples], indent=1) + "\n")
        draw(samples, budget, asked.out / "endurance.png")


def _serve(asked: argparse.Namespace) -> list[str]:
    ports = ("--port", "0", "--metrics-port", "0", "--page-port", "0")
    return [
        sys.executable, "-m", "service.cli", "serve", *ports,
        "--store", str(asked.store), "--backend", asked.backend,
    ]  # fmt: skip


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "ACTIONLENS_DATA": str(folder / "data"), "PYTHONUNBUFFERED": "1"}


def _read_clip(clip: Path) -> tuple[list[NDArray[np.uint8]], int]:
    """Read the clip's frames, cut to even sides, and its frame rate."""
    frames = list(open_source(str(clip)).frames)
    images = [_rgb(frame.picture) for frame in frames]
    height, width = (side - side % 2 for side in images[0].shape[:2])
    seconds = frames[-1].timestamp - frames[0].timestamp
    return [image[:height, :width] for image in images], max(1, round((len(frames) - 1) / seconds))


def _rgb(image: NDArray[np.uint8] | bytes) -> NDArray[np.uint8]:
    if not isinstance(image, bytes):
        return image
    decoded = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
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
        if asked.budget_ms is not None:
            _slide(page, "within", f"within {asked.budget_ms} ms")
        if asked.overhead is not None:
            _slide(page, "budget", f"at most {asked.overhead} %")
        page.evaluate(_COLLECT)
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        start = time.monotonic()
        samples: list[Sample] = []
        while time.monotonic() - start < 60 * asked.minutes:
            page.wait_for_timeout(1000 * min(_EVERY, 60 * asked.minutes))
            samples.append(_sample(page, session, browser, service, (time.monotonic() - start) / 60))
            print("\n".join(table(samples[-1:]).splitlines()[len(samples) > 1 :]), flush=True)
        browser.close()
    return samples


def _slide(page: Page, slider: str, position: str) -> None:
    """Move a slider by its keys, from its left end, until the page says so."""
    page.locator(f"#{slider}").press("Home")
    shown = page.locator(f"#{slider}-value")
    seen: list[str] = []
    while (said := shown.inner_text()) != position:
        if said in seen[-1:]:
            raise SystemExit(f"the slider has no position {position!r}; there are {', '.join(map(repr, seen))}")
        seen.append(said)
        page.locator(f"#{slider}").press("ArrowRight")


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
    reported: list[dict[str, Any]] = page.evaluate("() => window.reported.splice(0)")
    if not reported:
        raise SystemExit(
            f"no window was answered in {_EVERY:.0f} s; the page says: {page.locator('#alert').inner_text()}"
        )
    last = reported[-1]
    counts = last["counts"]
    dropped = counts["dropped_stale"] + counts["dropped_full"] + counts["rejected"]
    known = counts["used"] + dropped + counts["waiting"]
    metrics = {entry["name"]: entry["value"] for entry in session.send("Performance.getMetrics")["metrics"]}
    children = psutil.Process(service.pid).children(recursive=True)
    return Sample(
        minutes=minutes,
        service=psutil.Process(service.pid).memory_info().rss / _MIB,
        workers=sum(_resident(child) for child in children),
        page=sum(map(_resident, _renderers(browser))),
        heap=metrics["JSHeapUsedSize"] / _MIB,
        lags=[entry["lag"] for entry in reported],
        levels=dict(Counter(entry["level"] for entry in reported)),
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


if __name__ == "__main__":
    main()
