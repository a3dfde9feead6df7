"""HeadscaleApiKey: the API key of a managed server, whose only home is a Kubernetes Secret.

Only the server itself can make its first key. So exec makes a key there that lives ten minutes. That key makes the
lasting one, over REST. The Secret is written before Pulumi hears of the key, and the key's expiration carries a mark.
So a run killed at any point leaves the Secret's key, or a key that the next run finds and removes.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pulumi import Input, Output, ResourceOptions
from pulumi.dynamic import DiffResult, Resource
from typing_extensions import override

from gateway.headscale import markers
from gateway.headscale.errors import (
    HeadscaleError,
    NotFoundError,
    UnauthorizedError,
    UnavailableError,
    UnexpectedAnswerError,
)
from gateway.headscale.polling import poll
from infra.kubernetes.client import ClusterError
from infra.resources.base import Props, Provider, ResourceError, log
from infra.resources.connections import API_KEY, API_KEY_SECRET, Connections, NoServerError

_FIRST_KEY = ("headscale", "apikeys", "create", "--expiration", "10m", "--output", "json")
_NOT_YET = (ClusterError, UnavailableError, UnexpectedAnswerError, NotFoundError)
"""What comes while the server starts, or while what is in front of it does not lead to it: an ingress controller
answers 404 until it has the route, with a page or with JSON of its own."""
_T = TypeVar("_T")


class HeadscaleApiKeyProvider(Provider):
    """Makes, renews and removes the key; the state knows its prefix and its end, never the key."""

    INPUTS = ("namespace", "deployment", "lifetime_days")
    REPLACING = ("namespace",)

    @override
    def drifted(self, olds: Props, news: Props) -> bool:
        """Whether the key ends within `renew_days`."""
        end = datetime.fromisoformat(olds["expires_at"])
        return end - datetime.now(UTC) < timedelta(days=news["renew_days"])

    @override
    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """A renewal is the one update that no one has asked for: it is explained."""
        if self.drifted(_olds, _news):
            log.warning("Headscale's API key ends on %.10s: `pulumi up` renews it.", _olds["expires_at"])
        return super().diff(_id, _olds, _news)

    @override
    def make(self, connections: Connections, props: Props) -> tuple[str, dict[str, Any]]:
        """Use the Secret's key when it works and will for a while; else make one."""
        found = _until(props["deadline_seconds"], lambda: self.look_up(connections, "", props) or {})
        if not found or self.drifted(found, props):
            found = self.change(connections, "", {}, props)
        else:  # of a killed run, or of a lost state, whose label it has
            _keep(connections, props, connections.api_key())
        return f"{props['namespace']}/{API_KEY_SECRET}", found

    @override
    def change(self, connections: Connections, id_: str, olds: Props, news: Props) -> dict[str, Any]:
        """Make a new key and remove those before it."""
        # One first key for all attempts at the rest, so that a server whose URL does not answer yet gathers none.
        first_key = _until(news["deadline_seconds"], lambda: _first_key(connections, news))
        return _until(news["deadline_seconds"], lambda: _lasting_key(connections, news, first_key))

    @override
    def look_up(self, connections: Connections, id_: str, props: Props) -> dict[str, Any] | None:
        """The Secret's key as the server knows it; gone when either has lost it."""
        secret = connections.cluster.secret(props["namespace"], API_KEY_SECRET)
        if secret is None or API_KEY not in secret:
            return None
        try:
            with connections.headscale_with(secret[API_KEY]) as headscale:
                key = headscale.own_api_key()
        except UnauthorizedError:
            return None
        return _outputs(key.prefix, key.expiration) if key and key.expiration else None

    @override
    def remove(self, connections: Connections, id_: str, props: Props) -> None:
        """Remove the key from the server, if that still answers (it goes away next), and the Secret."""
        secret = connections.cluster.secret(props["namespace"], API_KEY_SECRET) or {}
        if key := secret.get(API_KEY):
            try:
                with connections.headscale_with(key) as headscale:
                    headscale.delete_api_key(props["key_prefix"])
            except (NotFoundError, UnauthorizedError, NoServerError):
                pass  # it works no more, which is what deleting is for
            except HeadscaleError as error:
                log.warning("API key %s may be left on the server: %s", props["key_prefix"], error)
        connections.cluster.delete_secret(props["namespace"], API_KEY_SECRET)


def _first_key(connections: Connections, props: Props) -> str:
    output = connections.cluster.execute(props["namespace"], props["deployment"], _FIRST_KEY)
    try:
        key = json.loads(output)
    except ValueError:
        key = None
    if not isinstance(key, str):
        # What it printed may hold the key: it is not shown.
        raise ResourceError(f"`{' '.join(_FIRST_KEY)}` on the Headscale server did not print a key.")
    return key


def _lasting_key(connections: Connections, props: Props, first_key: str) -> dict[str, Any]:
    # Here, so that a preview does not wait for this import.
    from gateway.headscale.models import api_key_prefix

    owner = f"api-key/{props['namespace']}"
    with connections.headscale_with(first_key) as headscale:
        end = markers.expiration(owner, after=timedelta(days=props["lifetime_days"]))
        key = headscale.create_api_key(end).get_secret_value()
        prefix = api_key_prefix(key)
        _keep(connections, props, key)
        for old in headscale.api_keys():
            if markers.is_marked(old.expiration, owner) and old.prefix != prefix:
                headscale.delete_api_key(old.prefix)
        headscale.delete_api_key(api_key_prefix(first_key))
    return _outputs(prefix, end)


def _keep(connections: Connections, props: Props, key: str) -> None:
    connections.cluster.apply_secret(props["namespace"], API_KEY_SECRET, {API_KEY: key}, props["labels"])


def _outputs(prefix: str, end: datetime) -> dict[str, Any]:
    return {"key_prefix": prefix, "expires_at": end.isoformat()}


def _until(deadline_seconds: float, attempt: Callable[[], _T]) -> _T:
    """What `attempt` returns once cluster, server and the way to it are up."""
    failures: list[Exception] = []

    def look() -> _T | None:
        try:
            return attempt()
        except _NOT_YET as error:
            failures.append(error)
            return None

    if (result := poll(look, deadline_seconds)) is None:
        raise ResourceError(f"No API key for Headscale after {deadline_seconds:.0f} s: {failures[-1]}")
    return result


def secret_of(inputs: Props) -> dict[str, Any]:
    """What tells the Secret that a HeadscaleApiKey makes from every other."""
    metadata = {"name": API_KEY_SECRET, "namespace": inputs["namespace"], "labels": inputs["labels"]}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}


class HeadscaleApiKey(Resource, module="meshgate", name="HeadscaleApiKey"):
    """An API key of the server in Deployment `namespace`/`deployment`, kept in Secret headscale-api-key there.

    The Secret has `labels`. The key lives `lifetime_days`, and an `up` within its last `renew_days` renews it.
    `deadline_seconds` is how long the server may take to come up.
    """

    key_prefix: Output[str]
    """The part of the key that names it, also to an administrator's `headscale apikeys list`."""
    expires_at: Output[str]
    """ISO 8601."""

    def __init__(
        self,
        name: str,
        *,
        namespace: Input[str],
        deployment: Input[str],
        labels: Input[Mapping[str, Input[str]]],
        lifetime_days: Input[float] = 90,
        renew_days: Input[float] = 30,
        deadline_seconds: Input[float] = 180,
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "namespace": namespace,
            "deployment": deployment,
            "labels": labels,
            "lifetime_days": lifetime_days,
            "renew_days": renew_days,
            "deadline_seconds": deadline_seconds,
        }
        super().__init__(HeadscaleApiKeyProvider(), name, {**inputs, "key_prefix": None, "expires_at": None}, opts)
