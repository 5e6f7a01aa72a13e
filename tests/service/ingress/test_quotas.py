"""Who may hold how much, and who calls."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from service.errors import QuotaExceeded
from service.ingress.caller import HERE, Caller, current, grpc_caller, http_caller
from service.ingress.compute_budget import ComputeBudget
from service.ingress.quotas import Kind, Quotas
from service.settings import Settings

ONE = Caller("192.0.2.1", "ipv4:192.0.2.1:1")
ITS_OTHER = Caller("192.0.2.1", "ipv4:192.0.2.1:2")
TWO = Caller("192.0.2.2", "ipv4:192.0.2.2:1")


def fill(stack: ExitStack, quotas: Quotas, kind: Kind, caller: Caller) -> tuple[int, QuotaExceeded]:
    """How many the caller got, and what it was told then."""
    for count in range(10_000):
        try:
            stack.enter_context(quotas.holding(kind, caller))
        except QuotaExceeded as error:
            return count, error
    raise AssertionError("no bound")


def test_a_connection_has_half_and_a_caller_three_quarters() -> None:
    quotas = Quotas(Settings(stream={"max_streams": 32}))
    with ExitStack() as stack:
        count, error = fill(stack, quotas, Kind.STREAMS, ONE)
        assert count == 16
        assert (error.quota, error.subject) == ("streams", "connection:ipv4:192.0.2.1:1")
        count, error = fill(stack, quotas, Kind.STREAMS, ITS_OTHER)
        assert count == 8
        assert (error.quota, error.subject) == ("streams", "principal:192.0.2.1")
        # Others have their share of what is left, and of what is of another kind everything.
        assert fill(stack, quotas, Kind.STREAMS, TWO)[0] == 16
        assert fill(stack, quotas, Kind.PROBES, TWO)[0] == 64
    assert quotas.held(Kind.STREAMS) == quotas.held(Kind.PROBES) == 0
    with ExitStack() as stack:
        assert fill(stack, quotas, Kind.STREAMS, ONE)[0] == 16


def test_a_refused_one_holds_nothing() -> None:
    quotas = Quotas(Settings(quotas={"bytes": 2**20}))
    with quotas.holding(Kind.BYTES, ONE, 2**19):
        for amount in (1, 2**30):
            with pytest.raises(QuotaExceeded), quotas.holding(Kind.BYTES, ONE, amount):
                pytest.fail("too much")
        with quotas.holding(Kind.BYTES, ITS_OTHER, 2**18), quotas.holding(Kind.BYTES, TWO, 2**18):
            assert quotas.held(Kind.BYTES) == 2**20
            with pytest.raises(QuotaExceeded, match="the service"), quotas.holding(Kind.BYTES, TWO, 1):
                pytest.fail("too much")
    assert quotas.held(Kind.BYTES) == 0


def test_the_service_itself_has_no_share() -> None:
    quotas = Quotas(Settings(stream={"max_streams": 32}))
    with ExitStack() as stack:
        assert fill(stack, quotas, Kind.STREAMS, HERE)[0] == 48


@pytest.mark.parametrize(
    ("peer", "principal"),
    [
        ("ipv4:192.0.2.1:4711", "192.0.2.1"),
        ("ipv6:%5B::1%5D:4711", "::1"),
        ("ipv6:[2001:db8:1:2:3:4:5:6]:4711", "2001:db8:1:2::/64"),
        ("ipv6:%5B::ffff:192.0.2.1%5D:9", "192.0.2.1"),
        ("unix:", "unix"),
        ("ipv6:%5Bfe80::1%25eth0%5D:9", "fe80::/64"),
    ],
)
def test_a_caller_is_its_address(peer: str, principal: str) -> None:
    assert grpc_caller(peer) == Caller(principal, peer)


def test_the_page_and_grpc_mean_the_same_caller() -> None:
    assert http_caller(("192.0.2.1", 80)).principal == grpc_caller("ipv4:192.0.2.1:4711").principal
    assert http_caller(None).principal == "unix"


def test_computing_is_bounded_over_time() -> None:
    now = 0.0
    budget = ComputeBudget(6.0, lambda: now)
    token = current.set(ONE)
    try:
        budget.check()
        budget.spend(9.0)
        with pytest.raises(QuotaExceeded) as caught:
            budget.check()
        # 3 s too many, at 0.1 s a second.
        assert caught.value.retry_after == pytest.approx(30)
        now = 29.0
        with pytest.raises(QuotaExceeded):
            budget.check()
        now = 31.0
        budget.check()
        current.set(TWO)
        budget.check()
        # However long it waits, a caller has no more than a minute brings.
        current.set(ONE)
        now = 1e6
        budget.spend(6.5)
        with pytest.raises(QuotaExceeded) as caught:
            budget.check()
        assert caught.value.retry_after == pytest.approx(5)
        current.set(HERE)
        budget.spend(1e9)
        budget.check()
    finally:
        current.reset(token)
