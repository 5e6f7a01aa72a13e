"""Measures whether a person sees, in the page's picture, the frames that its sentence names:
python -m tests.service.gateway.visibility [WINDOWS [FOLDER]] prints a table, and writes each method's pictures."""

from __future__ import annotations

import base64
import io
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
from tests.service.gateway.running import MODEL, PATIENCE, ROOT, Running, arguments, sample_frames

Film = list[NDArray[np.uint8]]

METHODS = ("atr", "clrp", "dtd", "grad-cam", "guided-backprop", "guided-grad-cam", "selective-relevance")
SEEN = 0.01
"""The share of a frame's pixels that must differ by more than 25 of 255 in a channel for a person to notice."""
_CLIPS = {
    "gesture": "jester/120331.mp4",
    "pitch": "ucf101/v_BaseballPitch_g05_c07.avi",
    "jump": "hmdb51/parkour_jump.mp4",
    "wrestling": "kinetics/mmaction2_demo_armwrestling.mp4",
}
_DROP = """(encoded) => {
  const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], "film.mp4", { type: "video/mp4" }));
  document.getElementById("stage").dispatchEvent(new DragEvent("drop", { dataTransfer: carried, cancelable: true }));
}"""
# Each window is shown with the next method. Of each whose sentence names frames: the largest share of such a frame's
# pixels that what is laid over it changes visibly.
_WATCH = """async ([methods, windows, pictured]) => {
  const { shortestRun } = await import("/static/js/reading.js");
  const { pale } = await import("/static/js/heat.js");
  const { stage, says } = window.page;
  const [show, say] = [stage.show, says.show];
  const shares = window.seen = Object.fromEntries(methods.map((method) => [method, []]));
  const shots = window.shots = {};
  let turn = 0, busy = false;
  const context = () => new OffscreenCanvas(480, 360).getContext("2d", { willReadFrequently: true });
  const [plain, laid] = [context(), context()];
  const look = async (heat, scale, picture, frame) => {
    const image = await createImageBitmap(picture.blob);
    for (const { canvas } of [plain, laid]) canvas.height = Math.round((480 * image.height) / image.width);
    pale(plain, image, 480, plain.canvas.height);
    stage.paint(laid, image, frame, { heat, scale });
    image.close();
    const [a, b] = [plain, laid].map((drawn) => drawn.getImageData(0, 0, 480, drawn.canvas.height).data);
    let changed = 0;
    for (let i = 0; i < a.length; i += 4) {
      changed += [0, 1, 2].some((c) => Math.abs(a[i + c] - b[i + c]) > 25);
    }
    return (4 * changed) / a.length;
  };
  stage.show = (...given) => {
    const left = methods.filter((method) => shares[method].length < windows);
    if (left.length) stage.view.layer = left[turn++ % left.length];
    show.apply(stage, given);
  };
  says.show = async (answer, curve) => {
    say.call(says, answer, curve);
    const { entry, heat, scale } = stage;
    const run = curve && shortestRun(curve.values);
    const { pictures } = window.page.last;
    if (busy || !run || pictures.some((picture) => !picture) || shares[entry.method].length >= windows) return;
    if (entry.method !== curve.method) throw new Error(`${curve.method} is told, ${entry.method} is shown`);
    busy = true;
    let most = 0;
    for (let frame = run.first; frame <= run.last; frame++) {
      const share = await look(heat, scale, pictures[frame], frame);
      if (share >= most && pictured) shots[entry.method] = [await laid.canvas.convertToBlob(), share];
      most = Math.max(most, share);
    }
    shares[entry.method].push(most);
    busy = false;
  };
}"""
_SHOT = """async (method) => {
  const bytes = new Uint8Array(await window.shots[method][0].arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}"""


def films(assets: Path | None) -> dict[str, bytes]:
    """Films in MP4: the bundled model's sample, one with a cut every 0.7 s, and real clips where there are some."""
    sample = sample_frames()
    real = {name: _read(assets / "clips" / path) for name, path in _CLIPS.items()} if assets else {}
    scenes = [*real.values(), sample] if real else [sample, [frame[:, ::-1] for frame in sample], sample[::-1]]
    cuts = [frame for scene in scenes for frame in scene[8:26]]
    made = {"sample": encode(sample), "cuts": encode(cuts)}
    return made | {name: encode(frames) for name, frames in real.items() if name in ("gesture", "pitch")}


def encode(frames: Film) -> bytes:
    """Write uint8 [height, width, 3] RGB frames of any sizes as 25 per second of H.264."""
    height, width = frames[0].shape[:2]
    size = (width // 2 * 2, height // 2 * 2)
    written = io.BytesIO()
    with av.open(written, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "18"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            image = cv2.resize(np.ascontiguousarray(frame), size, interpolation=cv2.INTER_AREA)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(image, np.uint8), format="rgb24")))
        container.mux(stream.encode())
    return written.getvalue()


def _read(path: Path) -> Film:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def shares(page: Page, film: bytes, windows: int, pictured: bool = False) -> dict[str, list[float]]:
    """Play a film on an opened page that asks for METHODS; per method and window the share (0 .. 1) of pixels that
    are visibly changed, of the named frame that is changed most."""
    page.evaluate(_WATCH, [list(METHODS), windows, pictured])
    page.evaluate(_DROP, base64.b64encode(film).decode())
    page.wait_for_function("(n) => Object.values(window.seen).every(({ length }) => length >= n)", arg=windows)
    seen: dict[str, list[float]] = page.evaluate("() => window.seen")
    return seen


def address(running: Running) -> str:
    """Of a page that asks for METHODS and has no source yet."""
    return f"{running.address}#methods={','.join(METHODS)}"


def table(film: str, found: dict[str, Sequence[float]]) -> str:
    """One line per method: readings seen, and the median and the fifth percentile of the shares."""
    lines = []
    for method, values in found.items():
        seen = sum(value >= SEEN for value in values)
        median, low = np.percentile(values, [50, 5])
        lines.append(f"{film:8} {method:20} {seen:3} of {len(values):3}   median {median:6.1%}   5 % below {low:6.2%}")
    return "\n".join(lines)


def main() -> None:
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
                page = context.new_page()
                page.set_default_timeout(PATIENCE)
                page.goto(address(running))
                page.locator("#methods input").first.wait_for(state="attached")
                print(table(name, shares(page, film, windows, folder is not None)), flush=True)
                for method in METHODS if folder else ():
                    folder.mkdir(parents=True, exist_ok=True)
                    Path(folder, f"{name}-{method}.png").write_bytes(base64.b64decode(page.evaluate(_SHOT, method)))
                context.close()
        finally:
            browser.close()
            running.close()


if __name__ == "__main__":
    main()
