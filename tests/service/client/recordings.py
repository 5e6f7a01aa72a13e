"""Recordings with a clock of the test's choice, and a web server that has them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av

from tests.service.client.numbered_video import grey


class _Files(SimpleHTTPRequestHandler):
    """Serves files whole: no ranges, as many simple servers do."""

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def web_server(folder: Path) -> Iterator[str]:
    """The address of a web server of the files in a folder."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def write_movie(
    path: Path, seconds: float = 0.0, frames: int = 38, size: tuple[int, int] = (48, 64), **options: str
) -> Path:
    """Numbered frames, 10 per second, not decoded in the order in which they are shown; times begin at `seconds`."""
    with av.open(str(path), "w", options=options) as film:
        stream = film.add_stream("libx264", rate=10, options={"crf": "1", "bf": "2"})
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 10)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(grey(number, size), format="rgb24")
            frame.pts, frame.time_base = number + round(10 * seconds), Fraction(1, 10)
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
    return path


def write_joined(path: Path, second: float, size: tuple[int, int] = (48, 64)) -> Path:
    """A transport stream of 20 frames whose clock begins at 0.5 s, and 20 whose clock begins at `second`, of a size."""
    parts = [
        write_movie(path.with_name("first.ts"), 0.5, 20),
        write_movie(path.with_name("second.ts"), second, 20, size),
    ]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path
