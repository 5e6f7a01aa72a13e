"""Runs a service that a browser is pointed at, and reads the frames that its webcam shows."""

from __future__ import annotations

import asyncio
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from playwright.sync_api import Page, expect

from service.backends.in_process import InProcessBackend
from service.server import Server
from service.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
MODEL = "motion-primitives"
PATIENCE = 300_000
"""Milliseconds that the page may take for anything, on a machine with other work."""


class _Backend(InProcessBackend):
    """As large models are: they take a while to load. may_load: until it is set, they do not."""

    def __init__(self, settings: Settings, may_load: threading.Event) -> None:
        super().__init__(settings)
        self._may_load = may_load

    async def start(self) -> None:
        await asyncio.to_thread(self._may_load.wait, PATIENCE / 1000)
        await super().start()


def _set() -> threading.Event:
    made = threading.Event()
    made.set()
    return made


@dataclass
class Running:
    """A service that can be stopped and started again on the same port.

    jobs: whether it also takes jobs. may_load: until it is set, its models are not loaded.
    """

    settings: Settings
    jobs: bool = True
    may_load: threading.Event = field(default_factory=_set)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    server: Server | None = None
    thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        assert self.server is not None
        return f"http://127.0.0.1:{self.server.page_port}/"

    def start(self) -> None:
        async def made() -> Server:
            server = Server(self.settings, _Backend(self.settings, self.may_load), jobs=self.jobs)
            await server.start()
            return server

        if self.thread is None:
            self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
            self.thread.start()
        self.server = self._run(made())
        self.settings = self.settings.model_copy(update={"page_port": self.server.page_port})

    def stop(self) -> None:
        if self.server is not None:
            self._run(self.server.stop())
            self.server = None

    def close(self) -> None:
        """Stop for good: no loop is left open that a later test would be blamed for."""
        self.stop()
        if self.thread is not None:
            self._run(self.loop.shutdown_default_executor())
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(PATIENCE / 1000)
        self.loop.close()

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(240)


def sample_frames() -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    """The bundled model's sample, RGB."""
    video = cv2.VideoCapture(str(ROOT / "model_store" / MODEL / "sample.mp4"))
    frames = []
    while True:
        got, frame = video.read()
        if not got:
            return frames
        frames.append(np.asarray(frame[..., ::-1], np.uint8))


def answers(port: int) -> bool:
    """Whether something listens there."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def watch(page: Page, running: Running, fragment: str) -> None:
    """Open the page at a fragment of its address and wait for the first answer."""
    page.goto(running.address + fragment)
    expect(page.locator("#freeze")).to_be_enabled(timeout=PATIENCE)


def arguments(camera: Path, *, refused: bool = False) -> list[str]:
    """Chromium's, for a webcam that shows a file. refused: nobody allows the page to use it."""
    return [
        "--no-sandbox",
        "--disable-gpu",
        f"--use-fake-ui-for-media-stream{'=deny' if refused else ''}",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={camera}",
    ]
