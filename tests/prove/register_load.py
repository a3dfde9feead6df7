"""Registers at the peer API from inside the cluster's network; the token comes by standard input.

`register_load.py URL` registers and unregisters many keys and prints the latency;
`register_load.py URL anew PUBLIC_KEY` registers one that is or is not there, and prints its addresses as JSON;
`register_load.py URL forget PUBLIC_KEY` unregisters it.
"""

import base64
import json
import secrets
import statistics
import sys
import time
from urllib.parse import quote

import httpx

COUNT = 300


def main() -> None:
    url, *one = sys.argv[1:]
    headers = {"Authorization": f"Bearer {sys.stdin.read().strip()}"}
    with httpx.Client(base_url=url, headers=headers, trust_env=False) as peers:
        if one:
            what, key = one
            _unregister(peers, key)
            if what == "anew":
                print(json.dumps(_register(peers, key)["addresses"]))  # noqa: T201
            return
        keys = [base64.b64encode(secrets.token_bytes(32)).decode() for _ in range(COUNT)]
        times = []
        for key in keys:
            start = time.perf_counter()
            _register(peers, key)
            times.append((time.perf_counter() - start) * 1000)
        for key in keys:
            _unregister(peers, key)
    centiles = statistics.quantiles(times, n=100)
    print(f"registering a device, {COUNT} times: p50 {centiles[49]:.1f} ms, p99 {centiles[98]:.1f} ms")  # noqa: T201


def _register(peers: httpx.Client, key: str) -> dict[str, list[str]]:
    answer = peers.post("/v1/peers", json={"public_key": key})
    answer.raise_for_status()
    body: dict[str, list[str]] = answer.json()
    return body


def _unregister(peers: httpx.Client, key: str) -> None:
    answer = peers.delete(f"/v1/peers/{quote(key, safe='')}")
    if answer.status_code != httpx.codes.NOT_FOUND:
        answer.raise_for_status()


if __name__ == "__main__":
    main()
