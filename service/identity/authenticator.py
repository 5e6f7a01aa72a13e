"""From what a call brings along to whom it is for."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping, Sequence

from service.errors import Unauthenticated
from service.identity.current_caller import anybody
from service.identity.issuer import Issuer
from service.identity.principal import Credential, Principal, Right
from service.identity.principals_file import PrincipalsFile
from service.settings import AuthenticationSettings

_SCHEME = "bearer "
_OWN = Principal("actionlens", ("default",), frozenset({Right.EXPLAIN}))


class Authenticator:
    """Knows principals by token, issuer and certificate."""

    def __init__(self, settings: AuthenticationSettings) -> None:
        """Raises InvalidArgument for a file of principals that cannot be read."""
        self.settings = settings
        self._file = PrincipalsFile(settings.tokens) if settings.tokens is not None else None
        self.issuer = Issuer(settings) if settings.issuer else None
        self.own_token = secrets.token_urlsafe(32)
        """For the service's calls to itself: its canary, the demonstration."""

    async def by_header(self, authorization: str | None) -> Credential:
        """Whom a header "Bearer TOKEN" stands for. Raises Unauthenticated; Unavailable when the issuer must be asked
        and does not answer."""
        if not self.settings.required:
            return anybody
        if authorization is None:
            raise Unauthenticated(
                "say who calls: a token is needed (--token, ACTIONLENS_TOKEN; metadata authorization: Bearer TOKEN)",
                reason="TOKEN_MISSING",
            )
        if authorization[: len(_SCHEME)].lower() != _SCHEME:
            raise Unauthenticated("authorization: is not of the form Bearer TOKEN", reason="TOKEN_INVALID")
        return await self.by_token(authorization[len(_SCHEME) :].strip())

    async def by_token(self, token: str) -> Credential:
        """As `by_header`."""
        if hmac.compare_digest(token.encode("utf-8", "surrogatepass"), self.own_token.encode()):
            return lambda: _OWN
        if self.issuer is not None and token.count(".") == 2:
            return await self.issuer.credential(token)
        if self._file is None:
            raise Unauthenticated("the token is none of the issuer's", reason="TOKEN_INVALID")
        return self._file.by_token(token)

    def by_certificate(self, names: Mapping[str, Sequence[bytes]]) -> Credential | None:
        """Whom a client certificate stands for, which TLS has verified; None: nobody. names: as gRPC has them."""
        if self._file is None:
            return None
        keys = ("x509_common_name", "x509_subject_alternative_name")
        found = frozenset(name.decode("utf-8", "replace") for key in keys for name in names.get(key, ()))
        return self._file.by_certificate(found)


def refused(error: Exception) -> Credential:
    """A credential that stands for nobody, for this reason."""

    def raises() -> Principal:
        raise error

    return raises
