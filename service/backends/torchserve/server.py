"""One running TorchServe, from launch to removal."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from service.backends.torchserve import child_guard, config
from service.backends.torchserve import startup_log as log
from service.backends.torchserve.http_client import ConnectionLost, HttpClient, HttpReply
from service.child_processes.heartbeats import is_stopped
from service.errors import Unavailable
from service.settings import Settings

_POLL_SECONDS = 0.1
_CALL_SECONDS = 5.0
_DEATHS_TOLERATED = 1
# Errors that will be the same at the next attempt.
_FINAL = ("ModelError: ", "CardError: ", "ImportError: ", "ModuleNotFoundError: ")
_TAIL_LINES = 12
_CLOSE_SECONDS = 10.0


class PortTaken(Unavailable):
    """Somebody took a port between its choice and java's start. Another attempt chooses others."""


class TorchServe:
    """A java process, its workers and their private folder. Made by `launch`, ended by `close`.

    It is never repaired: when it fails it is closed and another one launched.
    """

    def __init__(self, folder: Path, sockets: config.Sockets, process: asyncio.subprocess.Process) -> None:
        self._folder = folder
        self._sockets = sockets
        self._guard = process
        self._java: int | None = None
        self._inference: HttpClient | None = None
        self._management: HttpClient | None = None
        self.ended = asyncio.Event()
        """Set once java is gone."""
        self._listener = asyncio.create_task(self._listen())

    @classmethod
    async def launch(cls, models: dict[str, Path], settings: Settings, variables: Mapping[str, str]) -> TorchServe:
        """Write the work folder and start java in it. It is not ready when this returns.

        variables: of the environment of java and its workers.
        Raises Unavailable when TorchServe is not installed or an archive cannot be built.
        """
        # /tmp, not $TMPDIR: the workers' socket paths must stay below 107 characters.
        folder = Path(tempfile.mkdtemp(prefix=f"actionlens-{os.getpid()}-", dir="/tmp"))
        preparing = asyncio.create_task(asyncio.to_thread(config.prepare, folder, models, settings))
        try:
            try:
                sockets = await asyncio.shield(preparing)
            except (OSError, ValueError) as error:
                raise Unavailable(
                    "cannot build the model archives", reason="ARCHIVE_FAILED", detail=str(error)
                ) from error
            threads = config.shape(settings).threads
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", child_guard.__file__, str(folder), *config.command(folder)),
                *("--", *config.forkserver(folder)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,  # a terminal's Ctrl-C is for the service, which then stops us in order
                env=config.environment(folder, threads, settings, variables),
            )
        except BaseException:
            await asyncio.wait({preparing})  # a thread cannot be cancelled, and it writes into the folder
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return cls(folder, sockets, process)

    @property
    def folder(self) -> Path:
        """Work folder; gone after `close`."""
        return self._folder

    @property
    def java(self) -> int | None:
        """Process id of java, which is also the id of its process group; None before it runs."""
        return self._java

    async def wait_workers(self, models: dict[str, int], seconds: float) -> None:
        """Wait until every model has its number of ready workers.

        Raises Unavailable, saying what the worker or java said: when java ends, when a worker keeps dying, or after
        `seconds`. PortTaken when it is worth another launch at once.
        """
        try:
            async with asyncio.timeout(seconds):
                while True:
                    if await self._all_ready(models):
                        return
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError as error:
            raise self._failure(f"the workers were not ready within {seconds:g} s") from error

    async def workers(self, model: str, timeout: float = _CALL_SECONDS) -> dict[int, bool]:
        """Process ids of a model's workers, and whether each is ready. Raises ConnectionLost or TimeoutError."""
        client = self._client("management")
        reply = await client.call("GET", f"/models/{model}", timeout=timeout)
        if reply.status != 200:
            raise ConnectionLost(f"status {reply.status} of model {model!r}")
        try:
            return {worker["pid"]: worker["status"] == "READY" for worker in json.loads(reply.body)[0]["workers"]}
        except (ValueError, LookupError, TypeError) as error:
            raise ConnectionLost(f"unexpected description of model {model!r}") from error

    async def predict(self, model: str, body: bytes, timeout: float) -> HttpReply:
        """Send a worker message to a model. Raises ConnectionLost or TimeoutError (seconds: `timeout`)."""
        return await self._client("inference").call("POST", f"/predictions/{model}", body, timeout=timeout)

    def kill_worker(self, pid: int) -> None:
        """Kill one of the workers, frozen or not; TorchServe starts another. Spares processes that are none of them."""
        with suppress(ProcessLookupError, PermissionError):
            if self._java is not None and os.getpgid(pid) == self._java:
                os.kill(pid, signal.SIGKILL)

    def wake_guard(self) -> None:
        """Let the guard go on if somebody has stopped it: it must be able to end java when this process ends."""
        if is_stopped(self._guard.pid):
            with suppress(ProcessLookupError):
                self._guard.send_signal(signal.SIGCONT)

    async def close(self, grace: float = 0.0) -> None:
        """End java and its workers and remove the folder. grace: seconds that java gets to stop by itself."""
        for client in (self._inference, self._management):
            if client is not None:
                client.close()
        self.wake_guard()
        if (lifeline := self._guard.stdin) is not None and not lifeline.is_closing():
            if grace > 0:
                lifeline.write(b"%g" % grace)
            lifeline.close()
        try:
            async with asyncio.timeout(grace + _CLOSE_SECONDS):
                await asyncio.wait({self._listener})  # not awaited itself: a cancelled close must not cancel it
                await self._guard.wait()
        except TimeoutError:
            _kill_group(self._guard.pid)
            await self._guard.wait()
        finally:
            # Only needed where the guard could not do its work.
            if self._guard.returncode != 0 and self._java is not None:
                _kill_group(self._java)
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _listen(self) -> None:
        output = self._guard.stdout
        assert output is not None
        async for line in output:
            word, _, number = line.decode("ascii", "replace").partition(" ")
            if word == "started":
                self._java = int(number)
            elif word == "exited":
                self.ended.set()
        self.ended.set()

    async def _all_ready(self, models: dict[str, int]) -> bool:
        lines = log.tail(self._folder / config.LOG_FILE)
        for model, count in log.deaths(lines).items():
            why = log.reason(lines, model)
            if count > _DEATHS_TOLERATED or any(name in why for name in _FINAL):
                raise self._failure(f"a worker of model {model!r} died while starting", why)
        if self.ended.is_set():
            lines += log.tail(self._folder / config.OUTPUT_FILE)
            if any("Address already in use" in line for line in lines):
                raise PortTaken("a port that TorchServe was to use is taken", reason="PORT_TAKEN")
            raise self._failure("java ended while starting")
        try:
            for model, count in models.items():
                if sum((await self.workers(model)).values()) < count:
                    return False
        except (ConnectionLost, TimeoutError):
            return False
        return True

    def _client(self, purpose: str) -> HttpClient:
        if self._inference is None or self._management is None:
            try:
                keys = json.loads((self._folder / "key_file.json").read_text(encoding="utf-8"))
                tokens = {part: keys[part]["key"] for part in ("inference", "management")}
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise ConnectionLost("TorchServe has not written its tokens") from error
            limit = config.WIRE_BYTES + 1024 * 1024
            self._inference = HttpClient(self._sockets.inference, tokens["inference"], limit)
            self._management = HttpClient(self._sockets.management, tokens["management"], limit)
        return self._inference if purpose == "inference" else self._management

    def _failure(self, what: str, why: str = "see the log") -> Unavailable:
        lines = [line for name in (config.OUTPUT_FILE, config.LOG_FILE) for line in log.tail(self._folder / name)]
        end = "\n".join(lines[-_TAIL_LINES:])
        return Unavailable(
            f"TorchServe did not start: {what}",
            reason="TORCHSERVE_START_FAILED",
            detail=f"{why}\nEnd of its log:\n{end}",
        )


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
