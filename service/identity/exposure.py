"""Refuses to listen where strangers could do everything."""

from __future__ import annotations

import ipaddress

from service.errors import FailedPrecondition
from service.settings import Settings
from service.telemetry.log import get_logger


def check_exposure(settings: Settings) -> None:
    """Say who may call, once, at the start.

    Raises FailedPrecondition for an address that others can reach when nobody would have to say who they are. TLS alone
    is not enough for it: it hides what is said, and lets everybody say it.
    """
    log = get_logger()
    known = settings.authentication.required or settings.tls.client_ca is not None
    if is_loopback(settings.host):
        if not known:
            log.info("no authentication: everybody on this machine may call", host=settings.host)
        return
    if not known and not settings.insecure:
        raise FailedPrecondition(
            f"host: {settings.host} is open to other machines, and nobody would have to say who they are; set "
            "ACTIONLENS_AUTHENTICATION__TOKENS (`actionlens tokens create`), ACTIONLENS_AUTHENTICATION__ISSUER or "
            "ACTIONLENS_TLS__CLIENT_CA, listen on 127.0.0.1, or say --insecure (ACTIONLENS_INSECURE=1) where the "
            "network is trusted",
            field="host",
            reason="OPEN_TO_EVERYBODY",
        )
    if not known:
        log.warning("insecure: everybody who reaches this address may do everything", host=settings.host)
    elif settings.tls.cert is None:
        log.warning(
            "tokens travel in plain text: set ACTIONLENS_TLS__CERT and ACTIONLENS_TLS__KEY, unless a proxy in front "
            "ends TLS",
            host=settings.host,
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    bare = host.strip("[]")
    try:
        return bare == "localhost" or ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False
