"""Ready or not, and what is missing: one sentence per thing, for `kubectl describe` and people."""

import asyncio
import time
from collections.abc import Collection
from pathlib import Path

import httpx

from gateway.agent import measures
from gateway.agent.command import CommandError
from gateway.agent.firewall import Firewall
from gateway.agent.protocol import AccessStatus
from gateway.agent.settings import AgentSettings

FORWARDING = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}
"""The kernel's switch per IP version; in a pod IPv6's is off whatever the node's is."""

GOOD_FOR_S = 1.0
"""An answer of this age is given again: who asks without a token starts no programs beyond that."""
TAILSCALE_DEADLINE_S = 2.0
LOCAL_API = "http://local-tailscaled.sock/localapi/v0/status?peers=false"
"""What tailscaled answers on its socket (tailscale: ipn/localapi); any local user may read it."""


class Health:
    """What the gateway needs to carry traffic."""

    def __init__(
        self,
        settings: AgentSettings,
        protocols: Collection[AccessStatus],
        firewall: Firewall,
        http: httpx.AsyncClient,
    ) -> None:
        self._settings = settings
        self._protocols = protocols
        self._firewall = firewall
        self._http = http
        self._asking = asyncio.Lock()
        self._found: dict[str, list[str]] = {}
        self._good_until = 0.0
        """How long `_found` is given again, on the monotonic clock."""

    async def parts(self) -> dict[str, list[str]]:
        """What is missing, by part, as of a second ago at most."""
        async with self._asking:
            if time.monotonic() >= self._good_until:
                self._found = await self._look()
                self._good_until = time.monotonic() + GOOD_FOR_S
            return self._found

    async def _look(self) -> dict[str, list[str]]:
        access = {protocol.part: await _problems(protocol) for protocol in self._protocols}
        versions = {network.version for network in self._settings.client_networks}
        forwarding = [
            f"the kernel does not forward IPv{version}: set the sysctl {FORWARDING[version]}=1 for this pod or host"
            for version in sorted(versions)
            if not forwards(version)
        ]
        socket = self._settings.tailscale_socket
        mesh = [] if socket is None else await mesh_problems(self._http, socket)
        firewall = await self._firewall.problems()
        return {**access, "firewall": firewall, "forwarding": forwarding, "mesh": mesh}


async def _problems(protocol: AccessStatus) -> list[str]:
    try:
        return await protocol.problems()
    except CommandError as error:
        return [str(error)]


def mesh_client(settings: AgentSettings) -> httpx.AsyncClient:
    """The client that asks tailscaled."""
    path = settings.tailscale_socket
    return httpx.AsyncClient(trust_env=False, transport=httpx.AsyncHTTPTransport(uds=str(path)) if path else None)


def forwards(version: int) -> bool:
    """Whether the kernel passes packets of this IP version on."""
    switch = Path("/proc/sys", *FORWARDING[version].split("."))
    return switch.exists() and switch.read_text().strip() != "0"


async def mesh_problems(http: httpx.AsyncClient, path: Path) -> list[str]:
    """What tailscaled says, on its socket, against being ready; it tells the expiry of its node's key besides."""
    try:
        answer = await http.get(LOCAL_API, timeout=TAILSCALE_DEADLINE_S)
        status = answer.raise_for_status().json()
        state = status["BackendState"]
        measures.mesh_key(status)
    except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
        return [f"tailscaled does not answer on {path} ({type(error).__name__})"]
    return [] if state == "Running" else [f"tailscaled is not connected to the mesh: its state is {state}"]
