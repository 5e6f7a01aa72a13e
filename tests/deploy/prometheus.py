"""A Prometheus server of the tests' own, with the rules of deploy/prometheus, in a hurry."""

from __future__ import annotations

import math
import socket
import subprocess
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.deploy.test_files import DEPLOY
from tests.waiting import PATIENCE, wait_until


class Prometheus:
    """Scrapes one service twice a second and evaluates the rules every second. Stop it at the end."""

    def __init__(self, program: str, folder: Path, target: str) -> None:
        self.address = f"http://127.0.0.1:{_free_port()}"
        config = folder / "prometheus.yml"
        config.write_text(yaml.safe_dump(_configured(folder, target)))
        command = [
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={self.address.removeprefix('http://')}",
            "--enable-feature=exemplar-storage",
        ]
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        wait_until(lambda: self._ready() or self._process.poll() is not None, why=(folder / "log").read_text)
        assert self._process.poll() is None, (folder / "log").read_text()

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait(PATIENCE)

    def values(self, query: str) -> list[float]:
        """The finite values that a query has now. Fails for a query that Prometheus refuses."""
        results = self.get("query", query=query)["result"]
        found = [float(result["value"][1]) for result in results]
        return [value for value in found if math.isfinite(value)]

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer of Prometheus' API."""
        reply = httpx.get(f"{self.address}/api/v1/{path}", params=parameters, timeout=20).json()
        assert reply["status"] == "success", (parameters, reply)
        return reply["data"]

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.address}/-/ready", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


def _configured(folder: Path, target: str) -> dict[str, Any]:
    """deploy/prometheus/prometheus.yml with other times and another target; its rules are copied."""
    source = DEPLOY / "prometheus"
    config: dict[str, Any] = yaml.safe_load((source / "prometheus.yml").read_text())
    for name in config["rule_files"]:
        rules = yaml.safe_load((source / name).read_text())
        for group in rules["groups"]:
            group["interval"] = "1s"
        (folder / name).write_text(yaml.safe_dump(rules))
    config["global"] = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
    return config


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
