"""The committed dashboards, rules and compose file: fresh, and fitting together."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.dashboards.files import FOLDER, files
from deploy.metrics_table import families
from tests.conftest import absent
from tests.waiting import PATIENCE

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
_WORDS = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def rules(name: str) -> list[dict[str, Any]]:
    return [rule for group in load(DEPLOY / "prometheus" / name)["groups"] for rule in group["rules"]]


def dashboard_queries() -> list[str]:
    panels = [panel for text in files().values() for panel in json.loads(text)["panels"]]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


def test_the_dashboards_are_fresh() -> None:
    committed = {path.name: path.read_text() for path in FOLDER.iterdir()}
    assert committed == files(), "run python -m deploy.dashboards"


def test_every_panel_has_a_title_a_reading_and_queries_of_its_own() -> None:
    for text in files().values():
        everything = json.loads(text)["panels"]
        assert len({panel["id"] for panel in everything}) == len(everything)
        panels = [panel for panel in everything if panel["type"] != "row"]
        titles = [panel["title"] for panel in panels]
        assert len(titles) == len(set(titles)) > 10
        for panel in panels:
            assert panel["description"]
            references = [target["refId"] for target in panel["targets"]]
            assert "".join(references) == "ABC"[: len(references)] != ""
            assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


def test_queries_name_only_metrics_that_there_are() -> None:
    metrics = {sample.name for family in families() for sample in family.samples}
    metrics |= {family.name for family in families()} | {rule["record"] for rule in rules("recording.yml")} | {"up"}
    queries = dashboard_queries() + [rule["expr"] for name in ("recording.yml", "alerts.yml") for rule in rules(name)]
    ours = ("actionlens", "grpc_", "process_", "model", "outcome:", "job:")
    for query in queries:
        named = {word for word in _WORDS.findall(query) if word.startswith(ours) and ("_" in word or ":" in word)}
        assert named <= metrics | {"grpc_code"}, query


def test_compose_mounts_what_there_is_and_the_parts_find_each_other() -> None:
    services = load(DEPLOY / "compose.yaml")["services"]
    targets = {}
    for service in services.values():
        # Nothing is written but to volumes and memory, no privilege gained, and one container cannot starve the others.
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert {"mem_limit", "pids_limit"} <= set(service)
        assert not {"privileged", "cap_add", "network_mode", "pid", "ipc"} & set(service)
        for volume in service["volumes"]:
            source, target = volume.split(":")[:2]
            if source.startswith("."):
                assert (DEPLOY / source).is_dir(), volume
                targets[target] = DEPLOY / source
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert "build" in service or re.fullmatch(r"[\w/]+:v?\d+\.\d+\.\d+", service["image"])
    assert (DEPLOY / services["service"]["build"] / "Dockerfile").is_file()
    assert (targets["/etc/prometheus"] / "prometheus.yml").is_file()
    (source,) = load(DEPLOY / "grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert source["url"].removeprefix("http://").split(":")[0] in services
    scraped = load(DEPLOY / "prometheus/prometheus.yml")
    assert source["jsonData"]["timeInterval"] == scraped["global"]["scrape_interval"]
    (job,) = scraped["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    name, port = target.split(":")
    assert f"127.0.0.1:{port}:{port}" in services[name]["ports"]
    (provider,) = load(DEPLOY / "grafana/provisioning/dashboards/actionlens.yml")["providers"]
    assert targets[provider["options"]["path"]] == DEPLOY / "grafana/dashboards"
    home = Path(services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (targets[str(home.parent)] / home.name).is_file()


@pytest.mark.parametrize("name", ["tests.yml", "drift.tests.yml"])
def test_rules_pass_their_unit_tests(name: str) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        absent("promtool", "apt-get install prometheus")
    folder = DEPLOY / "prometheus"
    done = subprocess.run(
        [promtool, "test", "rules", name], capture_output=True, text=True, timeout=PATIENCE, cwd=folder
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tried_firing() -> None:
    tried = "".join((DEPLOY / "prometheus" / name).read_text() for name in ("tests.yml", "drift.tests.yml"))
    for rule in rules("alerts.yml"):
        assert f'alertname="{rule["alert"]}"' in tried
        assert set(rule["annotations"]) == {"summary", "description"}
