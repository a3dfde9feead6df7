"""How many devices gateways have, asked of themselves: quickly, or not at all.

It is told beside something else. So nothing that goes wrong here fails a preview, and nothing makes it wait for long.
"""

import threading
from collections.abc import Mapping
from contextlib import suppress

from infra import previous_keys
from infra.gateway_programs import PROBE_PORT
from infra.kubernetes.client import KubernetesClient
from infra.previous_keys import Counted
from infra.resources.connections import Connections

DEADLINE_SECONDS = 5.0
"""For all gateways together."""
_ASK = f"""
import urllib.request
print(urllib.request.urlopen("http://127.0.0.1:{PROBE_PORT}/metrics", timeout=2).read().decode())
"""


def counted(connections: Connections, places: Mapping[str, str]) -> Mapping[str, Counted]:
    """The numbers of devices by gateway, of those that tell it in time; `places` is where each is asked.

    A place is NAMESPACE/DEPLOYMENT, or the URL of a machine's metrics.
    """
    found: dict[str, Counted] = {}
    if places:
        # It cannot hold back the end of the program, whatever it waits for.
        thread = threading.Thread(target=_count, args=(connections, places, found), daemon=True)
        thread.start()
        thread.join(DEADLINE_SECONDS)
    return dict(found)


def _count(connections: Connections, places: Mapping[str, str], found: dict[str, Counted]) -> None:
    for name, place in places.items():
        with suppress(Exception):
            metrics = _of_machine(place) if "://" in place else _of_pod(connections.cluster, place)
            if told := previous_keys.counted(metrics):
                found[name] = told


def _of_machine(url: str) -> str:
    import httpx  # here, as in infra/resources/connections.py

    return httpx.get(url, timeout=2, trust_env=False).raise_for_status().text


def _of_pod(cluster: KubernetesClient, place: str) -> str:
    namespace, _, deployment = place.partition("/")
    return cluster.execute(namespace, deployment, ("python3", "-c", _ASK), "agent")
