"""Tokens of an issuer: which are accepted, for whom, how long, and how often its keys are asked for."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from service.errors import Unauthenticated, Unavailable
from service.identity import issuer as module
from service.identity.issuer import Issuer
from service.identity.principal import Principal, Right
from service.settings import AuthenticationSettings
from tests.service.identity.issuer_server import AUDIENCE, TestIssuer, issuing
from tests.waiting import Clock


class IssuerClock(Clock):
    """Its day, by which tokens expire, is moved by itself."""

    later = 0.0

    def time(self) -> float:
        return time.time() + self.later


@pytest.fixture(scope="module")
def running() -> Iterator[TestIssuer]:
    with issuing() as issuer:
        yield issuer


@pytest.fixture
def issuer(running: TestIssuer) -> Issuer:
    running.requests.clear()
    running.away, running.changed = False, {}
    return Issuer(AuthenticationSettings(issuer=running.address, audience=AUDIENCE, leeway_seconds=5))


def unsigned(token: str) -> str:
    """The token with the algorithm "none" and no signature."""
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": "RS"}).encode()).rstrip(b"=").decode()
    return f"{header}.{token.split('.')[1]}."


def confused(running: TestIssuer) -> str:
    """Signed by HS256 with the public key as the secret. PyJWT does not make such tokens, so by hand."""
    public = running.rsa.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"RS"}').rstrip(b"=")
    body = running.token().split(".")[1].encode()
    sign = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(header + b"." + body, public)
    return b".".join((header, body, base64.urlsafe_b64encode(sign).rstrip(b"="))).decode()


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256"])
async def test_claims_become_a_principal(issuer: Issuer, running: TestIssuer, algorithm: str) -> None:
    token = running.token(algorithm=algorithm, tenants="red blue", rights=["jobs", "openid"])
    assert (await issuer.credential(token))() == Principal("alice", ("red", "blue"), frozenset({Right.JOBS}))


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "another"},
        {"aud": None},
        {"iss": "https://elsewhere.example"},
        {"exp": None},
        {"exp": "soon"},
        {"nbf": time.time() + 3600},
        {"sub": None},
        {"tenants": None},
        {"tenants": [7]},
        {"algorithm": "ES256", "kid": "RS"},
        {"key": rsa.generate_private_key(public_exponent=65537, key_size=2048)},
        {"kid": "unknown"},
    ],
    # Not their values: every worker of a test run has others.
    ids=lambda change: " ".join(change),
)
async def test_other_tokens_are_refused(issuer: Issuer, running: TestIssuer, change: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated) as error:
        await issuer.credential(running.token(**change))
    assert error.value.reason == "TOKEN_INVALID"


async def test_unsigned_confused_and_broken_tokens_are_refused(issuer: Issuer, running: TestIssuer) -> None:
    good = running.token()
    for token in (unsigned(good), confused(running), good[:-8] + "AAAAAAAA", "a.b.c", "..", good + "A" * 2**14):
        with pytest.raises(Unauthenticated):
            await issuer.credential(token)
    assert (await issuer.credential(good))().name == "alice"


async def test_a_token_stands_for_nobody_once_it_has_expired(
    issuer: Issuer, running: TestIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    credential = await issuer.credential(running.token(expires=-4))  # within the leeway
    assert credential().name == "alice"
    with pytest.raises(Unauthenticated, match="expired"):
        await issuer.credential(running.token(expires=-6))
    clock = IssuerClock()
    clock.later = 2.0
    monkeypatch.setattr(module, "time", clock)
    with pytest.raises(Unauthenticated) as error:
        credential()
    assert error.value.reason == "TOKEN_EXPIRED"


async def test_keys_are_asked_for_once_and_unknown_names_do_not_flood_the_issuer(
    issuer: Issuer, running: TestIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = IssuerClock()
    monkeypatch.setattr(module, "time", clock)
    for _ in range(3):
        await issuer.credential(running.token())
    for kid in ("a", "b", "c"):
        with pytest.raises(Unauthenticated):
            await issuer.credential(running.token(kid=kid))
    assert running.requests == {"/.well-known/openid-configuration": 1, "/keys": 1}
    clock.ahead = 11.0
    with pytest.raises(Unauthenticated):
        await issuer.credential(running.token(kid="a"))
    assert running.requests["/keys"] == 2
    clock.ahead = 700.0
    await issuer.credential(running.token())
    assert running.requests["/keys"] == 3


async def test_while_the_issuer_is_away_its_keys_hold_for_a_day(
    issuer: Issuer, running: TestIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = IssuerClock()
    monkeypatch.setattr(module, "time", clock)
    running.away = True
    with pytest.raises(Unavailable):
        await issuer.credential(running.token())
    running.away, clock.ahead = False, 11.0
    await issuer.credential(running.token())
    running.away, clock.ahead = True, 80_000.0
    assert (await issuer.credential(running.token()))().name == "alice"
    clock.ahead = 90_000.0
    with pytest.raises(Unavailable):
        await issuer.credential(running.token())


@pytest.mark.parametrize(
    "change",
    [{"issuer": "https://other.example"}, {"jwks_uri": "http://keys.example/"}, {"jwks_uri": "file:///etc/passwd"}],
)
async def test_an_issuer_that_names_another_or_plain_addresses_is_not_used(
    issuer: Issuer, running: TestIssuer, change: dict[str, str]
) -> None:
    running.changed = change
    with pytest.raises(Unavailable):
        await issuer.credential(running.token())


@pytest.mark.parametrize("address", ["http://issuer.example", "http://localhost.example", "ftp://a", "issuer.example"])
def test_issuers_are_https_or_on_this_machine(address: str) -> None:
    with pytest.raises(ValueError, match="issuer"):
        AuthenticationSettings(issuer=address, audience="a")
    AuthenticationSettings(issuer="https://issuer.example", audience="a")
