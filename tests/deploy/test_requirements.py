"""What is installed by digest: every version of constraints.txt, and every requirement of what is served and tested."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
APART = {"atheris", "torch"}
"""torch: its builds for CPUs and for CUDA have one version and different digests. atheris: no test needs it."""


def name_of(text: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", text)[0]).lower()


def locked(file: str) -> dict[str, str]:
    """Versions by name, each with digests, as `pip install --require-hashes` takes them."""
    found = {}
    for block in re.split(r"\n(?=\w)", (ROOT / "requirements" / f"{file}.txt").read_text(encoding="ascii"))[1:]:
        entry, *digests = block.replace("\\\n", " ").split()
        pinned, _, _ = entry.partition(";")
        assert digests, entry
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", digest) for digest in digests), entry
        found[name_of(pinned)] = pinned.partition("==")[2]
    return found


def direct(*extras: str) -> set[str]:
    listed = [each for extra in extras for each in PROJECT["optional-dependencies"][extra]]
    inner = [match[1] for each in listed if (match := re.match(r"actionlens\[(\w+)]", each))]
    names = {name_of(each) for each in listed if not each.startswith("actionlens[")}
    return names | (direct(*inner) if inner else set())


def test_versions_with_digests_are_those_of_the_constraints() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="ascii").splitlines()
    pinned = {name_of(line): line.partition("==")[2] for line in lines if not line.startswith("#")}
    serving, testing = locked("serving"), locked("testing")
    assert serving.keys() & testing.keys() == set()
    assert serving | testing == {name: version for name, version in pinned.items() if name not in APART}, "scripts/lock"


def test_everything_that_is_required_is_installed_by_digest() -> None:
    client = {name_of(each) for each in PROJECT["dependencies"]}
    assert client | direct("worker") <= locked("serving").keys() | APART, "scripts/lock"
    assert direct("dev") <= locked("serving").keys() | locked("testing").keys() | APART, "scripts/lock"
