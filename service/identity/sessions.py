"""Log-ins of the page: opaque ids in browsers' cookies, everything else here."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from service.errors import ActionLensError, Unauthenticated
from service.identity.principal import Credential, Principal

_MOST_SESSIONS = 1000
_MOST_PENDING = 1000
_PENDING_SECONDS = 600.0
T = TypeVar("T")


class _Kept(Generic[T]):
    """Values by secret keys, of which only hashes are kept; at most so many, each for so long: the oldest goes."""

    def __init__(self, most: int, seconds: float, clock: Callable[[], float]) -> None:
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._values: OrderedDict[bytes, tuple[float, T]] = OrderedDict()

    def add(self, value: T) -> str:
        """Keep a value. Returns its key."""
        key = secrets.token_urlsafe(32)
        while len(self._values) >= self._most:
            self._values.popitem(last=False)
        self._values[_digest(key)] = self._clock() + self._seconds, value
        return key

    def find(self, key: str) -> T | None:
        """The value of a key; None: there is none, or no longer."""
        end, value = self._values.get(_digest(key), (0.0, None))
        if value is not None and self._clock() >= end:
            self.remove(key)
            return None
        return value

    def remove(self, key: str) -> T | None:
        """Forget a key. Returns its value."""
        return self._values.pop(_digest(key), (0.0, None))[1]


@dataclass(frozen=True, slots=True)
class PendingLogin:
    """A browser that is at the issuer. verifier: of PKCE. cookie: only the browser that left may come back."""

    nonce: str
    verifier: str
    cookie: str
    returns_to: str

    @property
    def challenge(self) -> str:
        """PKCE's S256 of the verifier (RFC 7636, section 4.2)."""
        return base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()


class Sessions:
    """Who is logged in. A session ends after some time, with its credential, or when its browser logs out."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._sessions: _Kept[Credential] = _Kept(_MOST_SESSIONS, seconds, clock)
        self._pending: _Kept[PendingLogin] = _Kept(_MOST_PENDING, _PENDING_SECONDS, clock)

    def open(self, credential: Credential) -> str:
        """Log a credential in. Returns the session's secret."""
        return self._sessions.add(credential)

    def close(self, secret: str) -> Principal | None:
        """Log out. Returns who that was."""
        credential = self._sessions.remove(secret)
        try:
            return credential() if credential is not None else None
        except ActionLensError:
            return None

    def credential(self, secret: str) -> Credential:
        """The credential of a session, which ends with it."""

        def principal() -> Principal:
            found = self._sessions.find(secret)
            if found is None:
                raise Unauthenticated("nobody is logged in, or no longer; log in again", reason="SESSION_ENDED")
            return found()

        return principal

    def begin(self, returns_to: str) -> tuple[str, PendingLogin]:
        """Note a browser that goes to the issuer. Returns the state that it brings back, and what is kept."""
        nonce, verifier, cookie = (secrets.token_urlsafe(32) for _ in range(3))
        made = PendingLogin(nonce, verifier, cookie, returns_to)
        return self._pending.add(made), made

    def finish(self, state: str, cookie: str) -> PendingLogin:
        """The browser came back. Works once. Raises Unauthenticated for another browser, or another log-in."""
        pending = self._pending.find(state)
        self._pending.remove(state)
        if pending is None or not secrets.compare_digest(pending.cookie.encode(), cookie.encode()):
            raise Unauthenticated(
                "this log-in was not begun here, or too long ago; log in again", reason="LOGIN_REFUSED"
            )
        return pending


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
