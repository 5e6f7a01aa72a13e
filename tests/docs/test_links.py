"""Whatever the documents name is there: links and their headings, paths, modules, settings, layers."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

from deploy import settings_table

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "model_store/*/*.md", "benchmarks/results/*.md")
    for path in ROOT.glob(pattern)
)
_FOLDERS = "actionlens|benchmarks|deploy|docs|examples|handlers|model_store|protos|scripts|service|tests|training"
_LINK = re.compile(r"\]\(([^)\s]+)\)")
# In prose, in code, in a diagram; not a part of an address or of a longer path.
_PATH = re.compile(rf"(?<![\w./-])(?:{_FOLDERS})/[\w./*-]*[\w*]")
_MODULE = re.compile(r"python -m ((?:[a-z_]+\.)*[a-z_]+)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_VARIABLE = re.compile(r"\bACTIONLENS_[A-Z0-9_]+\b")
_OF_TESTS = {"ACTIONLENS_TEST_ASSETS", "ACTIONLENS_REQUIRE_SYSTEM", "ACTIONLENS_TEST_EVERY_JOB"}


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def anchors(text: str) -> set[str]:
    """As code hosts make them of headings."""
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in _HEADING.findall(text)}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in _LINK.findall(text_of(page)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("page", PAGES)
def test_paths_are_there(page: str) -> None:
    missing = [path for path in _PATH.findall(text_of(page)) if not any(ROOT.glob(path))]
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_modules_can_be_run_and_imported(page: str) -> None:
    text = text_of(page)
    for name in _MODULE.findall(text):
        path = ROOT / name.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file() or _is_installed(name), name
    for code in _PYTHON.findall(text):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module:
                module = importlib.import_module(node.module)
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def _is_installed(name: str) -> bool:
    return "." not in name and importlib.util.find_spec(name) is not None


@pytest.mark.parametrize("page", PAGES)
def test_settings_exist(page: str) -> None:
    known = {row.variable for row in settings_table.rows()} | _OF_TESTS
    known |= set(re.findall(r"^\| `(\w+)` \|", settings_table.page(), re.MULTILINE))
    known |= {f"{variable}_FILE" for variable in known}
    assert set(_VARIABLE.findall(text_of(page))) - known == set()


def test_every_page_is_on_the_map() -> None:
    linked = set(_LINK.findall(text_of("docs/index.md")))
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert pages - linked == set()


def test_the_layers_are_those_that_the_linter_holds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    held = [contract["layers"] for contract in project["tool"]["importlinter"]["contracts"] if "layers" in contract]
    section = text_of("ARCHITECTURE.md").split("## Layers")[1].split("\n## ")[0]
    written = [
        [re.split(r"  +", line)[0] for line in block.strip().splitlines()]
        for block in re.findall(r"```\n(.*?)```", section, re.DOTALL)
    ]
    assert written == held


@pytest.mark.parametrize(
    ("sought", "path", "proof"),
    [
        ("drop policy", "service/streaming/drop_policy.py", r"class DropPolicy"),
        ("ring of frames", "service/streaming/frame_buffer.py", r"ring\b.*deque"),
        ("latency budget", "service/streaming/budget/latency.py", "class LatencyBudget"),
        ("zB", "handlers/relevance/operations/weighted_rules.py", r"zB"),
        ("histogram of explain seconds", "service/telemetry/metrics.py", r'Histogram\(\s+"actionlens_stage_seconds"'),
        ("job's state", "service/jobs/store/transitions.py", r"update\(JOBS\)[\s\S]{,200}state="),
    ],
)
def test_a_stranger_finds_in_one_step(sought: str, path: str, proof: str) -> None:
    table = text_of("ARCHITECTURE.md").split("## Where do I find")[1].split("\n## ")[0]
    row = next(line for line in table.splitlines() if sought in line)
    assert f"]({path})" in row
    assert re.search(proof, (ROOT / path).read_text(encoding="utf-8")), proof
