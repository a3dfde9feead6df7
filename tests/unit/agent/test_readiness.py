"""Readiness: the same to whoever asks, to Prometheus and, once per change, to the log."""

import asyncio
import logging

import pytest
from prometheus_client import CollectorRegistry

from gateway.agent import measures, readiness
from gateway.agent.protocols.ipsec.access import IpSec
from gateway.agent.protocols.openvpn.access import OpenVpn
from gateway.agent.protocols.wireguard.access import WireGuardAccess
from gateway.agent.readiness import Readiness

WHOLE: dict[str, list[str]] = {"interface": [], "firewall": [], "forwarding": [], "mesh": []}


class Parts:
    """What health and store have to say."""

    def __init__(self) -> None:
        self.now = dict(WHOLE)
        self.store_says: list[str] = []
        self.asked = asyncio.Event()
        self.broken = False

    async def health(self) -> dict[str, list[str]]:
        self.asked.set()
        if self.broken:
            raise OSError("too many open files")
        return dict(self.now)

    async def store(self) -> list[str]:
        return list(self.store_says)


def told() -> tuple[float | None, set[str]]:
    """Whether Prometheus is told that the gateway is ready, and the parts with a problem."""
    registry = CollectorRegistry()
    for gauge in (measures.READY, measures.PROBLEM):
        registry.register(gauge)
    with_problem = {
        part for part in measures.PARTS if registry.get_sample_value("meshgate_problem", {"part": part}) == 1
    }
    return registry.get_sample_value("meshgate_ready"), with_problem


async def test_a_gateway_without_problems_is_ready() -> None:
    parts = Parts()
    assert await Readiness(parts.health, parts.store).problems() == []
    assert told() == (1, set())


async def test_each_part_that_is_missing_is_told() -> None:
    parts = Parts()
    parts.now |= {"mesh": ["tailscaled is away"], "openvpn": ["OpenVPN is away"]}
    parts.store_says = ["the disk is full"]
    found = await Readiness(parts.health, parts.store).problems()
    assert found == ["tailscaled is away", "OpenVPN is away", "the disk is full"]
    assert told() == (0, {"mesh", "openvpn", "store"})


async def test_a_shared_store_that_is_away_is_told_and_holds_up_no_traffic(caplog: pytest.LogCaptureFixture) -> None:
    parts = Parts()
    parts.store_says = ["etcd is away"]
    ready = Readiness(parts.health, parts.store, is_shared=True)
    assert await ready.problems() == []
    assert ready.warnings == ["etcd is away"]
    assert told() == (1, {"store"})
    parts.now["mesh"] = ["tailscaled is away"]
    assert await ready.problems() == ["tailscaled is away"]
    assert told() == (0, {"mesh", "store"})
    parts.now["mesh"], parts.store_says = [], []
    assert await ready.problems() == ready.warnings == []
    assert [(record.getMessage(), getattr(record, "fields", {}).get("missing")) for record in caplog.records] == [
        ("ready, but nobody can be registered", ["etcd is away"]),
        ("not ready", ["tailscaled is away", "etcd is away"]),
    ]


async def test_every_part_of_health_has_a_metric() -> None:
    ways = {protocol.part for protocol in (WireGuardAccess, OpenVpn, IpSec)}
    assert {*WHOLE, *ways, "store"} == set(measures.PARTS)


async def test_a_change_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    parts = Parts()
    ready = Readiness(parts.health, parts.store)
    for sentences in ([], [], ["silent for 3 s"], ["silent for 4 s"], []):
        parts.now["mesh"] = sentences
        await ready.problems()
    assert [record.getMessage() for record in caplog.records] == ["ready", "not ready", "ready"]
    assert caplog.records[1].fields == {"missing": ["silent for 3 s"]}  # type: ignore[attr-defined]


async def test_it_looks_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "LOOK_EVERY_S", 0)
    parts = Parts()
    watching = asyncio.create_task(Readiness(parts.health, parts.store).watch())
    for _ in range(2):
        parts.asked.clear()
        await parts.asked.wait()
    watching.cancel()


async def test_what_cannot_be_asked_just_now_is_not_ready_and_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "LOOK_EVERY_S", 0)
    parts = Parts()
    parts.broken = True
    watching = asyncio.create_task(Readiness(parts.health, parts.store).watch())
    for _ in range(2):
        parts.asked.clear()
        await parts.asked.wait()
    assert told()[0] == 0
    assert not watching.done()
    watching.cancel()
