"""A camera that speaks RTSP: the smallest server that answers a viewer at a time with H.264 within the connection."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from fractions import Fraction

import av

from tests.service.client.numbered_video import grey
from tests.waiting import PATIENCE

FRAMES, FPS = 38, 20
JUMP_AT = 30
_SIZE = (96, 128)
_SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track\r\n"
)


class RtspCamera:
    """Frame i of every round of 38 is grey of a level that tells i; `with` starts and ends it.

    cut: it breaks off after so many frames, for the first `cuts` viewers. sizes: heights and widths of its images, in
    turn for one viewer after the other. jump: after JUMP_AT frames its clock moves by so many seconds.
    """

    def __init__(
        self, cut: int = 0, cuts: int = 1, sizes: tuple[tuple[int, int], ...] = (_SIZE,), jump: float = 0.0
    ) -> None:
        self._cut, self._cuts, self._sizes, self._jump = cut, cuts, sizes, jump
        self.viewers = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"rtsp://127.0.0.1:{self._listener.getsockname()[1]}/camera"
        self.requests: list[str] = []
        """Methods that the viewer called, in order."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> RtspCamera:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE)

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                viewer, _ = self._listener.accept()
            except OSError:
                return  # nobody came
            self.viewers += 1
            # A connection may be cut, by either side.
            with viewer, contextlib.suppress(OSError):
                self._answer(viewer)

    def _answer(self, viewer: socket.socket) -> None:
        left = threading.Event()
        player = threading.Thread(target=self._play, args=(viewer, left, self.viewers))
        try:
            with viewer.makefile("rb") as reader:
                while request := reader.readline().decode():
                    method = request.split(" ")[0]
                    self.requests.append(method)
                    headers = {}
                    while line := reader.readline().decode().strip():
                        name, _, value = line.partition(":")
                        headers[name.lower()] = value.strip()
                    viewer.sendall(self._reply(method, headers).encode())
                    if method == "PLAY":
                        player.start()
                    elif method == "TEARDOWN":
                        break
        finally:
            left.set()
            if player.ident is not None:
                player.join(PATIENCE)

    def _reply(self, method: str, headers: dict[str, str]) -> str:
        lines, body = [f"CSeq: {headers['cseq']}", "Session: 1"], ""
        match method:
            case "OPTIONS":
                lines.append("Public: DESCRIBE, SETUP, PLAY, TEARDOWN")
            case "DESCRIBE":
                body = _SDP
                lines += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
            case "SETUP":
                lines.append("Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
        return "RTSP/1.0 200 OK\r\n" + "".join(f"{line}\r\n" for line in lines) + f"\r\n{body}"

    def _play(self, viewer: socket.socket, left: threading.Event, number: int) -> None:
        """Packets that libav makes, put into the connection as RFC 2326 10.12 says: $, channel, length, packet."""
        with socket.socket(type=socket.SOCK_DGRAM) as packets, socket.socket(type=socket.SOCK_DGRAM) as reports:
            for receiver in (packets, reports):
                receiver.bind(("127.0.0.1", 0))
            packets.setblocking(False)
            ports = [receiver.getsockname()[1] for receiver in (packets, reports)]
            with av.open(f"rtp://127.0.0.1:{ports[0]}?rtcpport={ports[1]}&pkt_size=1200", "w", format="rtp") as film:
                options = {"crf": "1", "tune": "zerolatency", "g": "10"}
                stream = film.add_stream("libx264", rate=Fraction(FPS), options=options)
                size = self._sizes[(number - 1) % len(self._sizes)]
                stream.height, stream.width = size
                stream.pix_fmt = "yuv420p"
                begun = time.monotonic()
                for count in itertools.count():
                    if left.wait(max(0.0, begun + count / FPS - time.monotonic())):
                        return
                    if count == self._cut and number <= self._cuts and self._cut:
                        viewer.shutdown(socket.SHUT_RDWR)
                        return
                    frame = av.VideoFrame.from_ndarray(grey(count % FRAMES, size), format="rgb24")
                    film.mux(stream.encode(frame))
                    try:
                        while True:
                            packet = bytearray(packets.recv(2000))
                            if count >= JUMP_AT:
                                # RFC 3550 5.1: the timestamp, in units of 1/90000 s, modulo 2**32.
                                moment = int.from_bytes(packet[4:8], "big") + round(90_000 * self._jump)
                                packet[4:8] = (moment % 2**32).to_bytes(4, "big")
                            viewer.sendall(b"$\0" + len(packet).to_bytes(2, "big") + packet)
                    except BlockingIOError:
                        pass  # all of this frame is out
                    except OSError:
                        return  # the viewer has left
