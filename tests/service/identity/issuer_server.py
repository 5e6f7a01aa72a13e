"""An OpenID Connect issuer on a loopback port: discovery, keys, and the authorization-code flow with PKCE."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

AUDIENCE = "actionlens-api"
CLIENT = "actionlens-page"


class TestIssuer:
    """Issues tokens. `requests` counts what it was asked, by path; `away` makes it answer 503."""

    __test__ = False

    def __init__(self) -> None:
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.requests: dict[str, int] = {}
        self.away = False
        self.changed: dict[str, Any] = {}
        """Fields of the discovery document that are told differently."""
        self.claims: dict[str, Any] = {"sub": "alice", "tenants": ["red"], "rights": ["explain", "jobs"]}
        self.address = ""
        self._codes: dict[str, dict[str, str]] = {}

    def token(
        self, *, algorithm: str = "RS256", key: Any = None, kid: str = "", expires: float = 60, **claims: Any
    ) -> str:
        """A bearer token; claims that are None are left out."""
        whole = {"iss": self.address, "aud": AUDIENCE, "exp": time.time() + expires, **self.claims, **claims}
        whole = {name: value for name, value in whole.items() if value is not None}
        own = self.ec if algorithm.startswith("ES") else self.rsa
        return jwt.encode(whole, own if key is None else key, algorithm, {"kid": kid or algorithm[:2]})

    def answer(self, path: str, query: dict[str, str], form: dict[str, str]) -> tuple[int, dict[str, Any] | str]:
        """The status, and a document or the address to go to."""
        self.requests[path] = self.requests.get(path, 0) + 1
        if self.away:
            return 503, {}
        match path:
            case "/.well-known/openid-configuration":
                names = {"jwks_uri": "keys", "authorization_endpoint": "authorize", "token_endpoint": "token"}
                addresses = {name: f"{self.address}/{part}" for name, part in names.items()}
                return 200, {"issuer": self.address, **addresses, **self.changed}
            case "/keys":
                padded = {**self._jwk(self.rsa, "PS"), "alg": "PS256"}
                return 200, {"keys": [self._jwk(self.rsa, "RS"), self._jwk(self.ec, "ES"), padded]}
            case "/authorize":
                code = secrets.token_hex(8)
                self._codes[code] = query
                return 303, f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"
            case "/token":
                asked = self._codes.pop(form["code"], None)
                digest = hashlib.sha256(form["code_verifier"].encode()).digest()
                challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
                if (
                    asked is None
                    or asked["code_challenge"] != challenge
                    or asked["redirect_uri"] != form["redirect_uri"]
                ):
                    return 400, {"error": "invalid_grant"}
                return 200, {"id_token": self.token(aud=form["client_id"], nonce=asked["nonce"])}
        return 404, {}

    def _jwk(self, key: Any, kid: str) -> dict[str, Any]:
        kind = jwt.algorithms.ECAlgorithm if kid == "ES" else jwt.algorithms.RSAAlgorithm
        return {**json.loads(kind.to_jwk(key.public_key())), "kid": kid, "use": "sig"}


@contextmanager
def issuing() -> Iterator[TestIssuer]:
    """A running issuer."""
    issuer = TestIssuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["content-length"])).decode()
            self._answer({name: values[0] for name, values in parse_qs(data).items()})

        def _answer(self, form: dict[str, str]) -> None:
            parts = urlsplit(self.path)
            status, document = issuer.answer(parts.path, dict(parse_qsl(parts.query)), form)
            self.send_response(status)
            data = b"" if isinstance(document, str) else json.dumps(document).encode()
            if isinstance(document, str):
                self.send_header("location", document)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Tests are silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
