"""What the agent counts as it works, for Prometheus. `metrics` adds what is asked at the time of a scrape.

Names end in their unit, counters in `_total`. Labels have few and fixed values: no device, no key, no address.
"""

import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import wraps
from math import inf, nan
from typing import Any, ParamSpec, TypeVar

from prometheus_client import Counter, Gauge, Histogram

PARTS = ("interface", "openvpn", "ipsec", "firewall", "forwarding", "mesh", "store")
"""What a gateway needs to carry traffic and to let devices in: first its ways in, WireGuard's by the interface."""
LISTENERS = ("api", "probes")
"""Where the agent is asked."""
LIMITS = ("head", "idle", "reader", "room", "address")
"""What ends connections: the deadlines for a request's head, between requests and for who reads the answer, the bound
on all connections, and that of one address."""
QUICK_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
"""Of a disk write."""
LOOK_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Of a look at the interface, which grows with its peers."""
NEVER, UNKNOWN = inf, nan
"""As a time: no comparison of an alert holds for either."""

READY = Gauge("meshgate_ready", "1 while the gateway carries traffic, as /readyz says.", registry=None)
PROBLEM = Gauge(
    "meshgate_problem", f"1 while this part keeps it from that: {', '.join(PARTS)}.", ["part"], registry=None
)
REGISTRATIONS = Counter(
    "meshgate_registrations",
    "Registrations: new, renewed (the key was known), accepted (comes in within a second), refused, failed.",
    ["outcome"],
    registry=None,
)
REVOCATIONS = Counter(
    "meshgate_revocations",
    "Revocations: done, unknown (there is no such device), refused, failed.",
    ["outcome"],
    registry=None,
)
EXPIRIES = Counter("meshgate_expiries", "Devices that were shut out because their time was over.", registry=None)
LOOK_SECONDS = Histogram(
    "meshgate_interface_look_seconds",
    "Time of a look at the interface, with all that it puts right.",
    buckets=LOOK_S,
    registry=None,
)
LOOK_ERRORS = Counter("meshgate_interface_look_errors", "Looks at the interface that failed.", registry=None)
LAST_LOOK = Gauge(
    "meshgate_interface_last_look_timestamp_seconds", "When the interface was last seen whole.", registry=None
)
APPEARANCES = Counter(
    "meshgate_interface_appearances",
    "Interfaces that appeared and were configured: one at the start, then one each time it was made anew.",
    registry=None,
)
REPAIRS = Counter(
    "meshgate_peers_repaired",
    "Peers of the interface that were not as the store has them: brought_in, removed.",
    ["repair"],
    registry=None,
)
STORE_WRITE_SECONDS = Histogram(
    "meshgate_store_write_seconds",
    "Time of a write to the store, until it is on the disk, or in etcd.",
    buckets=QUICK_S,
    registry=None,
)
STORE_ERRORS = Counter("meshgate_store_errors", "Writes to the store that failed.", registry=None)
MESH_KEY_EXPIRY = Gauge(
    "meshgate_mesh_key_expiry_timestamp_seconds",
    "When the key of the gateway's node in the mesh expires: +Inf for never, NaN while tailscaled has not told.",
    registry=None,
)
CONNECTIONS = Gauge(
    "meshgate_connections",
    f"Connections that are open, by listener: {', '.join(LISTENERS)}.",
    ["listener"],
    registry=None,
)
CONNECTIONS_CLOSED = Counter(
    "meshgate_connections_closed",
    f"Connections that a limit ended or kept out: {', '.join(LIMITS)}.",
    ["listener", "limit"],
    registry=None,
)
RELOADED = Gauge(
    "meshgate_config_last_reload_successful",
    "1 while what the file of this setting holds is in use, 0 while it cannot be used and the last one goes on.",
    ["setting"],
    registry=None,
)

ALL = (
    *(READY, PROBLEM, REGISTRATIONS, REVOCATIONS, EXPIRIES, LOOK_SECONDS, LOOK_ERRORS, LAST_LOOK, APPEARANCES, REPAIRS),
    *(STORE_WRITE_SECONDS, STORE_ERRORS, MESH_KEY_EXPIRY, CONNECTIONS, CONNECTIONS_CLOSED, RELOADED),
)

# A series that only begins with its first event hides that event from `increase`.
for _part in PARTS:
    PROBLEM.labels(_part)
for _outcome in ("new", "renewed", "accepted", "refused", "failed"):
    REGISTRATIONS.labels(_outcome)
for _outcome in ("done", "unknown", "refused", "failed"):
    REVOCATIONS.labels(_outcome)
for _listener in LISTENERS:
    for _limit in LIMITS:
        CONNECTIONS_CLOSED.labels(_listener, _limit)
for _repair in ("brought_in", "removed"):
    REPAIRS.labels(_repair)
MESH_KEY_EXPIRY.set(UNKNOWN)

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def looked(look: Callable[Arguments, Awaitable[Result]]) -> Callable[Arguments, Awaitable[Result]]:
    """A look at the interface that is timed, or counted as failed."""

    @wraps(look)
    async def timed(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        started = time.perf_counter()
        try:
            result = await look(*arguments, **named)
        except Exception:
            LOOK_ERRORS.inc()
            raise
        LOOK_SECONDS.observe(time.perf_counter() - started)
        LAST_LOOK.set_to_current_time()
        return result

    return timed


def mesh_key(status: dict[str, Any]) -> None:
    """Take the expiry of the node's key from tailscaled's own status (ipnstate.Status), if it can be read."""
    try:
        expiry = status.get("Self", {}).get("KeyExpiry")
        MESH_KEY_EXPIRY.set(datetime.fromisoformat(expiry).timestamp() if expiry else NEVER)
    except (AttributeError, TypeError, ValueError):
        MESH_KEY_EXPIRY.set(UNKNOWN)
