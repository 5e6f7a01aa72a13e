"""Runs the stream behind a live view and opens it again whenever it breaks."""

from __future__ import annotations

import threading

from service.client import Client
from service.client.streams import ExplainedStream
from service.errors import DeadlineExceeded, ResourceExhausted, Unavailable
from service.webcam.frame_store import FrameStore
from service.webcam.state import ViewState

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 5.0
_LAST_SECONDS = 3.0


class ReconnectingStream:
    """Runs on a thread of its own until the source ends, an error that will not pass, or `close`."""

    def __init__(self, client: Client, store: FrameStore, state: ViewState) -> None:
        self.failure: BaseException | None = None
        self.stream: ExplainedStream | None = None
        self._client = client
        self._store = store
        self._state = state
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live-stream", daemon=True)
        self._thread.start()

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return not self._thread.is_alive()

    def update_question(self) -> None:
        """Ask the question as it stands now of the following windows."""
        if self.stream is not None:
            options = self._state.options
            self.stream.update(methods=options["methods"], target=options["target"], contrast=options.get("contrast"))

    def close(self) -> None:
        """Send no more frames, and wait a little for the answers that are due and the summary."""
        self._closing.set()
        self._store.close()
        if self.stream is not None:
            self.stream.end()
        self._thread.join(_LAST_SECONDS)
        if self.stream is not None:
            self.stream.close()

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._closing.is_set():
            try:
                with self._client.explain_stream(self._store.frames(), **self._state.options) as self.stream:
                    for window in self.stream:
                        if self._state.model is None:
                            self._state.model = self._client.get_model(window.message.model)
                        self._state.add(window)
                        pause = _FIRST_PAUSE
                return
            except (Unavailable, DeadlineExceeded, ResourceExhausted) as error:
                if error.field == "source":
                    self.failure = error
                    return
                self._state.disconnected(error.message)
                self._closing.wait(max(pause, error.retry_after or 0.0))
                pause = min(2 * pause, _LONGEST_PAUSE)
            except Exception as error:
                # Also a bug of a source: the view must not report that the stream ended well.
                self.failure = error
                return
