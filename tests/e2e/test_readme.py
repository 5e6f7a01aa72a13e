"""The README's grpcurl lines, with a grpcurl that knows the service by reflection only, and its Python lines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.e2e.conftest import MODEL_STORE, ROOT, Service
from tests.waiting import PATIENCE

# Stands in for grpcurl in the shell: writes down what it was called with.
_RECORDER = 'grpcurl() { printf "%s\\n" "$@" > arguments; if [[ " $* " == *" -d @ "* ]]; then cat > body; fi; }\n'


def lines() -> list[str]:
    """The indented shell commands of the section, one with its here-document each."""
    section = (ROOT / "README.md").read_text().split("### With grpcurl")[1].split("\n\n")[1]
    text = "\n".join(line.removeprefix("    ") for line in section.splitlines())
    return [f"grpcurl{part}" for part in text.split("grpcurl")[1:]]


def call(address: str, method: str, body: str) -> dict[str, Any]:
    """Call a method as grpcurl does: JSON in and out, types by reflection."""
    with grpc.insecure_channel(address) as channel:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        service, _, name = method.rpartition("/")
        found = pool.FindServiceByName(service).FindMethodByName(name)
        asked, answered = GetMessageClass(found.input_type), GetMessageClass(found.output_type)
        invoke = channel.unary_unary(f"/{method}", asked.SerializeToString, answered.FromString)
        answer = invoke(json_format.Parse(body, asked(), descriptor_pool=pool), timeout=PATIENCE)
        found_answer: dict[str, Any] = json_format.MessageToDict(answer, descriptor_pool=pool)
        return found_answer


@pytest.mark.parametrize("command", lines(), ids=["ListModels", "ExplainClip"])
def test_the_grpcurl_lines_of_the_readme_work(service: Service, tmp_path: Path, command: str) -> None:
    (tmp_path / "CLIP.mp4").write_bytes((MODEL_STORE / "motion-primitives/sample.mp4").read_bytes())
    subprocess.run(["bash", "-euc", _RECORDER + command], cwd=tmp_path, check=True, timeout=PATIENCE)
    *options, address, method = (tmp_path / "arguments").read_text().splitlines()
    body = (tmp_path / "body").read_text() if (tmp_path / "body").exists() else "{}"
    assert (options[0], address) == ("-plaintext", "127.0.0.1:8470")
    answer = call(service.address, method, body)
    if method.endswith("ListModels"):
        assert "motion-primitives" in json.dumps(answer)
    else:
        assert [entry["method"] for entry in answer["answer"]["explanations"]] == ["grad-cam", "selective-relevance"]
        assert answer["answer"]["explanations"][1]["provenance"]["parameters"]["threshold"] == 4


def test_the_python_lines_of_the_readme_work(service: Service, tmp_path: Path) -> None:
    section = (ROOT / "README.md").read_text().split("### From Python")[1]
    program = section.split("```python\n")[1].split("```")[0]
    assert "127.0.0.1:8470" in program
    (tmp_path / "clip.mp4").write_bytes((MODEL_STORE / "motion-primitives/sample.mp4").read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", program.replace("127.0.0.1:8470", service.address)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    label, reading, shape, _seconds = done.stdout.splitlines()
    assert (label.rpartition(" ")[0], shape) == ("move left", "(16, 7, 7)")
    assert reading.startswith("frames ")
