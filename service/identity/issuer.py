"""Tokens of an OpenID Connect issuer: verified by PyJWT with the keys that the issuer publishes."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any

import jwt

from service.errors import ActionLensError, Unauthenticated, Unavailable
from service.identity.exposure import is_loopback
from service.identity.principal import Credential, Principal, rights_of
from service.settings import AuthenticationSettings

# Signatures of key pairs only: "none", and HS256 with a public key as its secret, are not in the list.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_KINDS = ("RSA", "EC", "OKP")
_MOST_BYTES = 2**18
_MOST_KEYS = 64
_LONGEST_TOKEN = 2**14
_CALL_SECONDS = 5.0
# Keys are asked for again after so long; when the issuer is away, they hold for longer.
_FRESH_SECONDS = 600.0
_STALE_SECONDS = 86_400.0
# A key that is not known may be new, but strangers can name as many as they like.
_PAUSE_SECONDS = 10.0


class Issuer:
    """One issuer and its keys. For one event loop."""

    def __init__(self, settings: AuthenticationSettings) -> None:
        self._settings = settings
        self._lock = asyncio.Lock()
        self._about: Mapping[str, Any] = {}
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched = self._tried = float("-inf")

    async def credential(self, token: str, *, audience: str = "", nonce: str = "") -> Credential:
        """Whom a token stands for, until it expires. audience: instead of the settings'. nonce: that it must hold.

        Raises Unauthenticated with the reason, Unavailable when the issuer's keys cannot be had.
        """
        if len(token) > _LONGEST_TOKEN:
            raise Unauthenticated("the token is too long", reason="TOKEN_INVALID")
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS:
                raise jwt.InvalidAlgorithmError(f"it is signed by {header.get('alg')!r}, which is not accepted")
            claims = jwt.decode(
                token,
                await self._key(str(header.get("kid", ""))),
                algorithms=ALGORITHMS,
                audience=audience or self._settings.audience,
                issuer=self._settings.issuer,
                leeway=self._settings.leeway_seconds,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError:
            raise _expired() from None
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise Unauthenticated(f"the token is not accepted: {error}", reason="TOKEN_INVALID") from None
        if nonce and claims.get("nonce") != nonce:
            raise Unauthenticated("the token is of another log-in (nonce)", reason="TOKEN_INVALID")
        principal = self._principal(claims)
        end = float(claims["exp"]) + self._settings.leeway_seconds

        def stands_for() -> Principal:
            if time.time() >= end:
                raise _expired()
            return principal

        return stands_for

    async def login_address(self, *, returns_to: str, state: str, nonce: str, challenge: str) -> str:
        """Where a browser logs in (authorization code with PKCE, S256). Raises Unavailable."""
        about = await self._described()
        query = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": returns_to,
            "scope": "openid profile",
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{_secure(about, 'authorization_endpoint')}?{urllib.parse.urlencode(query)}"

    async def log_in(self, code: str, *, returns_to: str, nonce: str, verifier: str) -> Credential:
        """Exchange the code that a browser came back with. Raises Unauthenticated, Unavailable."""
        about = await self._described()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": returns_to,
            "client_id": self._settings.client_id,
            "code_verifier": verifier,
        }
        if self._settings.client_secret is not None:
            form["client_secret"] = self._settings.client_secret.read_text(encoding="utf-8").strip()
        address = _secure(about, "token_endpoint")
        answer = await asyncio.to_thread(_fetch, address, urllib.parse.urlencode(form).encode())
        return await self.credential(str(answer.get("id_token", "")), audience=self._settings.client_id, nonce=nonce)

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        settings = self._settings
        name, tenants = claims.get(settings.name_claim), _words(claims.get(settings.tenants_claim))
        if not isinstance(name, str) or not name:
            raise Unauthenticated(f"the token has no claim {settings.name_claim!r}", reason="TOKEN_INVALID")
        if not tenants:
            raise Unauthenticated(
                f"the token has no claim {settings.tenants_claim!r} with a tenant", reason="TOKEN_INVALID"
            )
        return Principal(name, tenants, rights_of(_words(claims.get(settings.rights_claim))))

    async def _key(self, name: str) -> jwt.PyJWK:
        now = time.monotonic()
        if name not in self._keys or now - self._fetched > _FRESH_SECONDS:
            async with self._lock:
                now = time.monotonic()
                wanted = name not in self._keys or now - self._fetched > _FRESH_SECONDS
                if wanted and now - self._tried > _PAUSE_SECONDS:
                    self._tried = now
                    await self._fetch_keys()
        if name not in self._keys:
            if not self._keys:
                raise Unavailable(
                    "the issuer's keys cannot be had now", reason="ISSUER_AWAY", retry_after=_PAUSE_SECONDS
                )
            raise jwt.InvalidKeyError(f"the issuer has no key {name!r}")
        return self._keys[name]

    async def _fetch_keys(self) -> None:
        try:
            self._about = {}
            about = await self._described()
            document = await asyncio.to_thread(_fetch, _secure(about, "jwks_uri"))
            found = [entry for entry in document["keys"][:_MOST_KEYS] if _signs(entry)]
            self._keys = {str(entry.get("kid", "")): jwt.PyJWK(entry) for entry in found}
            self._fetched = time.monotonic()
        except (ActionLensError, jwt.PyJWTError, LookupError, TypeError, ValueError):
            if time.monotonic() - self._fetched > _STALE_SECONDS:
                self._keys = {}

    async def _described(self) -> Mapping[str, Any]:
        if not self._about:
            issuer = self._settings.issuer
            address = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
            about = await asyncio.to_thread(_fetch, address)
            if about.get("issuer") != issuer:
                raise Unavailable(f"{address} describes another issuer: {about.get('issuer')!r}", reason="ISSUER_AWAY")
            self._about = about
        return self._about


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """An address that was checked must not lead to one that was not."""

    def redirect_request(self, *_: Any) -> None:
        """See the base class."""


_OPENER = urllib.request.build_opener(_NoRedirects)


def _fetch(address: str, form: bytes | None = None) -> Mapping[str, Any]:
    """The JSON object at an address. Raises Unavailable, and Unauthenticated when a form is refused. Blocking."""
    request = urllib.request.Request(address, form, {"accept": "application/json"})
    try:
        with _OPENER.open(request, timeout=_CALL_SECONDS) as response:
            data = response.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise ValueError("its answer is too large")
        document = json.loads(data)
        if not isinstance(document, dict):
            raise ValueError("its answer is no object")
    except urllib.error.HTTPError as error:
        if form is not None and error.code < 500:
            raise Unauthenticated("the issuer refuses this log-in; log in again", reason="LOGIN_REFUSED") from None
        raise Unavailable(f"the issuer answers {error.code} at {address}", reason="ISSUER_AWAY") from None
    except (OSError, HTTPException, ValueError, RecursionError) as error:
        raise Unavailable(f"the issuer does not answer at {address}: {error}", reason="ISSUER_AWAY") from None
    return document


def _secure(about: Mapping[str, Any], name: str) -> str:
    """An address that the issuer names. Raises Unavailable unless it is https, or on this machine."""
    address = str(about.get(name, ""))
    parts = urllib.parse.urlsplit(address)
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        return address
    raise Unavailable(f"the issuer's {name} is {address!r}; it must be https", reason="ISSUER_AWAY")


def _signs(entry: Mapping[str, Any]) -> bool:
    return entry.get("kty") in _KINDS and entry.get("use", "sig") == "sig"


def _words(claim: Any) -> tuple[str, ...]:
    """A claim as words: a list of them, or one string with spaces between."""
    parts = claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else []
    return tuple(part for part in parts if isinstance(part, str) and part)


def _expired() -> Unauthenticated:
    return Unauthenticated("the token has expired; get a new one", reason="TOKEN_EXPIRED")
