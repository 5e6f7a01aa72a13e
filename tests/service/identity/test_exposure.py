"""What may be listened on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from service.errors import FailedPrecondition
from service.identity.exposure import check_exposure, is_loopback
from service.settings import Settings
from tests.service.conftest import Serve

TOKENS = {"authentication": {"tokens": "principals.yaml"}}
TLS = {"cert": "c.pem", "key": "k.pem"}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "[::1]", "localhost"])
def test_this_machine_needs_nothing_and_is_told_so(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    check_exposure(Settings(host=host))
    assert "no authentication" in capsys.readouterr().out
    check_exposure(Settings(host=host, **TOKENS))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]", "192.0.2.1", "actionlens.example", "127.0.0.1.example", ""])
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, None),
        ({"tls": TLS}, None),
        ({"insecure": True}, "insecure"),
        (TOKENS, "plain text"),
        ({**TOKENS, "tls": TLS}, ""),
        ({"authentication": {"issuer": "https://a.example", "audience": "b"}, "tls": TLS}, ""),
        ({"tls": {**TLS, "client_ca": "ca.pem"}}, ""),
    ],
    ids=str,
)
def test_others_only_where_callers_are_known(
    host: str, given: dict[str, Any], says: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(host=host, **given)
    if says is None:
        with pytest.raises(FailedPrecondition, match="--insecure") as error:
            check_exposure(settings)
        assert error.value.reason == "OPEN_TO_EVERYBODY"
    else:
        check_exposure(settings)
        told = capsys.readouterr().out
        assert (says in told) if says else told == ""


async def test_a_service_does_not_start_open_to_everybody(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="insecure"):
        async with serve(host="0.0.0.0"):
            pass
    async with serve(host="0.0.0.0", insecure=True) as server:
        assert server.port


def test_names_that_look_like_this_machine_are_not() -> None:
    assert not any(is_loopback(host) for host in ("localhost.example", "127.1.example", "0.0.0.0", "fe80::1", ""))
