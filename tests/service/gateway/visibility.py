"""Measures whether a person sees, in the page's picture, the frames that its sentence names:
python -m tests.service.gateway.visibility [WINDOWS [FOLDER]] prints a table, and writes each method's pictures."""

from __future__ import annotations

import base64
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page, sync_playwright

from service.settings import BackendName, Settings
from tests.service.gateway.running import MODEL, ROOT, Running, arguments, sample_frames

Film = list[NDArray[np.uint8]]

METHODS = ("atr", "clrp", "dtd", "grad-cam", "guided-backprop", "guided-grad-cam", "selective-relevance")
SEEN = 0.01
"""The share of a frame's pixels that must differ by more than 25 of 255 in a channel for a person to notice."""
_FPS, _SPAN = 25, 32
_CLIPS = {
    "gesture": "jester/120331.mp4",
    "pitch": "ucf101/v_BaseballPitch_g05_c07.avi",
    "jump": "hmdb51/parkour_jump.mp4",
    "wrestling": "kinetics/mmaction2_demo_armwrestling.mp4",
}
# Windows of a film, explained by the service and given to the page as if the stream had brought them, each shown with
# one method after the other. Of those whose sentence names frames: the share of pixels that what is laid over a named
# frame changes visibly, of the frame where it is largest.
_LOOK = """async ([methods, images, starts, fps, span]) => {
  const { methodOf } = await import("/static/js/methods.js");
  const { shortestRun } = await import("/static/js/reading.js");
  const { pale } = await import("/static/js/heat.js");
  const { service, ask, live, stage, says, time } = window.page;
  window.shots ??= {};
  const blobOf = (text) => new Blob([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))]);
  const pictures = images.map((text, i) => ({ blob: blobOf(text), time: i / fps }));
  const causes = { dropped_stale: 0, dropped_full: 0, rejected: 0, missing: 0 };
  window.give = (answer) => {
    live.on.window({ answer, lag: 0.2, skipped_windows: 0, counts: { used: 16, waiting: 0, ...causes } });
  };
  const shares = Object.fromEntries(methods.map((method) => [method, []]));
  const context = () => new OffscreenCanvas(480, 360).getContext("2d", { willReadFrequently: true });
  const [plain, laid] = [context(), context()];
  const changed = async (picture, frame) => {
    const image = await createImageBitmap(picture.blob);
    for (const { canvas } of [plain, laid]) canvas.height = Math.round((480 * image.height) / image.width);
    pale(plain, image, 480, plain.canvas.height);
    stage.paint(laid, image, frame);
    image.close();
    const [a, b] = [plain, laid].map((drawn) => drawn.getImageData(0, 0, 480, drawn.canvas.height).data);
    let count = 0;
    for (let i = 0; i < a.length; i += 4) count += [0, 1, 2].some((c) => Math.abs(a[i + c] - b[i + c]) > 25);
    return (4 * count) / a.length;
  };
  let told;
  const say = says.show;
  says.show = (answer, curve) => {
    told = curve;
    say.call(says, answer, curve);
  };
  for (const start of starts) {
    const shown = pictures.slice(start, start + span);
    const bytes = await Promise.all(shown.map(async ({ blob }) => new Uint8Array(await blob.arrayBuffer())));
    const clip = { frames: { images: bytes, timestamps: shown.map(({ time }) => time) } };
    const asked = { model: ask.model.name, clip, methods: methods.map(methodOf), output: { encoding: 3 } };
    const { answer } = await service.call("ExplainClip", asked);
    for (const picture of shown) picture.thumb = await createImageBitmap(picture.blob, { resizeHeight: 72 });
    for (const picture of shown) picture.taken = performance.now() - 1000 * (shown.at(-1).time - picture.time);
    live.frames = new Map(shown.entries());
    for (const method of methods) {
      stage.view.layer = method;
      window.give(answer);
      if (stage.entry.method !== method || told.method !== method) throw new Error(`${method} is not shown or told`);
      const run = shortestRun(told.values);
      if (!run) continue;
      let most = -1;
      for (let frame = run.first; frame <= run.last; frame++) {
        const share = await changed(window.page.last.pictures[frame], frame);
        const middle = start === starts[Math.floor(starts.length / 2)] && frame === (run.first + run.last) >> 1;
        if (middle) window.shots[method] = await laid.canvas.convertToBlob();
        most = Math.max(most, share);
      }
      shares[method].push(most);
    }
  }
  says.show = say;
  return shares;
}"""
_SHOT = """async (method) => {
  const bytes = new Uint8Array(await window.shots[method].arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}"""


def films(assets: Path | None) -> dict[str, Film]:
    """Frames of the bundled model's sample, of a film with a cut every 0.7 s, and of real clips if there are some."""
    sample = sample_frames()
    real = {name: _read(assets / "clips" / path) for name, path in _CLIPS.items()} if assets else {}
    scenes = [*real.values(), sample] if real else [sample, [frame[:, ::-1] for frame in sample], sample[::-1]]
    cuts = [cv2.resize(np.ascontiguousarray(frame), (320, 240)) for scene in scenes for frame in scene[8:26]]
    found = {"sample": sample, "cuts": [np.asarray(frame, np.uint8) for frame in cuts]}
    return found | {name: frames for name, frames in real.items() if name in ("gesture", "pitch")}


def _read(path: Path) -> Film:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def opened(page: Page, running: Running) -> Page:
    """The page once it knows the models, without a source."""
    page.goto(running.address)
    page.wait_for_function("() => window.page")
    return page


def shares(page: Page, film: Film, windows: int) -> dict[str, list[float]]:
    """Show windows of a film on an opened page without a source; per method and reading that names frames, the share
    (0 .. 1) of pixels that are visibly changed, of the named frame that is changed most."""
    images = [cv2.imencode(".jpg", np.ascontiguousarray(frame[..., ::-1]))[1].tobytes() for frame in film]
    starts = np.linspace(0, max(0, len(film) - _SPAN), windows).astype(int).tolist()
    encoded = [base64.b64encode(image).decode() for image in images]
    seen: dict[str, list[float]] = page.evaluate(_LOOK, [list(METHODS), encoded, starts, _FPS, _SPAN])
    return seen


def table(film: str, found: dict[str, Sequence[float]]) -> str:
    """One line per method: readings seen, and the median and the fifth percentile of the shares."""
    lines = []
    for method, values in found.items():
        seen = sum(value >= SEEN for value in values)
        median, low = np.percentile(values, [50, 5])
        lines.append(f"{film:8} {method:20} {seen:3} of {len(values):3}   median {median:6.1%}   5 % below {low:6.2%}")
    return "\n".join(lines)


def main() -> None:
    """Print the table of all films."""
    windows = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    assets = os.environ.get("ACTIONLENS_TEST_ASSETS")
    ports: dict[str, Any] = {"port": 0, "metrics_port": 0, "page_port": 0}
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        store = Path(temporary, "store")
        shutil.copytree(ROOT / "model_store" / MODEL, store / MODEL)
        settings = Settings(model_store=store, backend=BackendName.IN_PROCESS, threads=1, **ports)
        running = Running(settings, jobs=False)
        running.start()
        program = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=program, args=arguments(Path(os.devnull)))
        try:
            for name, film in films(Path(assets) if assets else None).items():
                context = browser.new_context(viewport={"width": 1280, "height": 720}, bypass_csp=True)
                page = opened(context.new_page(), running)
                print(table(name, shares(page, film, windows)), flush=True)
                for method in METHODS if folder else ():
                    path = Path(folder or "", f"{name}-{method}.png")
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(base64.b64decode(page.evaluate(_SHOT, method)))
                context.close()
        finally:
            browser.close()
            running.close()


if __name__ == "__main__":
    main()
