"""Who has not TorchServe's own token is answered nothing, at the sockets and at the ports that it opens by itself."""

from __future__ import annotations

import json
import re
from pathlib import Path

import grpc
import httpx
import pytest

from service.backends.torchserve import TorchServeBackend

pytestmark = pytest.mark.asyncio(loop_scope="session")

_CALLS = (
    ("inference", "/ping", "inference.InferenceAPIsService/Ping"),
    ("inference", "/predictions/left-right", "inference.InferenceAPIsService/Predictions"),
    ("management", "/models", "management.ManagementAPIsService/ListModels"),
    ("management", "/models/left-right", "management.ManagementAPIsService/DescribeModel"),
)


@pytest.fixture
def folder(torchserve: TorchServeBackend) -> Path:
    supervisor = torchserve._supervisor
    assert supervisor is not None
    assert supervisor._server is not None
    return supervisor._server.folder


@pytest.mark.parametrize("token", [None, "nonsense"])
@pytest.mark.parametrize(("part", "path", "call"), _CALLS)
async def test_no_token_no_answer(folder: Path, part: str, path: str, call: str, token: str | None) -> None:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    socket = httpx.AsyncHTTPTransport(uds=str(folder / f"{part}.sock"))
    async with httpx.AsyncClient(transport=socket, base_url="http://localhost", headers=headers) as client:
        answer = await client.get(path)
    assert answer.status_code == 400
    assert "Token Authorization failed" in answer.text
    port = re.search(rf"^grpc_{part}_port=(\d+)$", (folder / "config.properties").read_text(), re.M)
    assert port is not None
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port[1]}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await channel.unary_unary(f"/org.pytorch.serve.grpc.{call}")(b"", metadata=tuple(headers.items()))
    assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_the_token_opens_its_own_part_alone(folder: Path) -> None:
    keys = json.loads((folder / "key_file.json").read_text(encoding="utf-8"))
    for held, status in (("management", 200), ("inference", 400)):
        socket = httpx.AsyncHTTPTransport(uds=str(folder / "management.sock"))
        headers = {"authorization": f"Bearer {keys[held]['key']}"}
        async with httpx.AsyncClient(transport=socket, base_url="http://localhost", headers=headers) as client:
            assert (await client.get("/models")).status_code == status
