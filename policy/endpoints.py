"""Every gateway has its endpoint: without one, it and the app that is told of it hand out useless configs."""

import ipaddress
from collections.abc import Iterator, Mapping
from contextlib import suppress

from infra.settings.value_types import split_endpoint
from policy.declared import DeclaredResource, DeclaredStack, at, containers, each
from policy.plain_secrets import CONFIG_MAP, WORKLOAD_ENV

_KEY, _ENDPOINT = "_PUBLIC_KEY", "_ENDPOINT"
_OF_THE_AGENT = "MESHGATE_"
_SETTINGS = "MESHGATE_SETTINGS_DIR"
"""Whose container has its endpoint from a ConfigMap."""


def endpoints(resource: DeclaredResource, stack: DeclaredStack) -> Iterator[str]:
    """Each public key of a server goes with the host:port that clients dial for it."""
    if resource.type == WORKLOAD_ENV:
        yield from _with_keys(at(resource.props, "values") or {}, stack)
    for container in containers(resource):
        values = {one["name"]: one.get("value", "") for one in each(container, "env")}
        if _SETTINGS not in values:
            yield from _with_keys(values, stack)
    if resource.type.removesuffix("Patch") == CONFIG_MAP:
        data = at(resource.props, "data") or {}
        if any(name.startswith(_OF_THE_AGENT) for name in data):
            yield from _told(f"{_OF_THE_AGENT}ENDPOINT", data, stack)


def _with_keys(values: Mapping[str, object], stack: DeclaredStack) -> Iterator[str]:
    for name in values:
        # A key that is empty says that there is no gateway yet: then there is no endpoint either.
        if name.endswith(_KEY) and values[name] != "":
            yield from _told(name.removesuffix(_KEY) + _ENDPOINT, values, stack)


def _told(name: str, values: Mapping[str, object], stack: DeclaredStack) -> Iterator[str]:
    if why := _unusable(at(values, name) if name in values else "", stack):
        yield f"{name} {why}; set the gateway's endpoint to the host:port that clients dial."


def _unusable(endpoint: object, stack: DeclaredStack) -> str | None:
    if not isinstance(endpoint, str):
        return None  # not known yet
    if not endpoint:
        return "is not set, so that clients have nothing to dial"
    try:
        host, _ = split_endpoint(endpoint)
    except ValueError as error:
        return f"is of no use: {error}"
    with suppress(ValueError):  # a name
        address = ipaddress.ip_address(host)
        if address.is_loopback and not stack.lab:
            return f"is {endpoint}, which no client reaches"
    return None
