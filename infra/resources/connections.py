"""How a provider reaches Headscale and the cluster: by the stack's config, anew in each operation.

A connection is no property of a resource. So a rotated API key changes no resource, and a delete works after it.
"""

from collections.abc import Callable
from contextlib import ExitStack
from functools import cache, cached_property
from typing import TYPE_CHECKING, Self

from infra.kubernetes.client import KubernetesClient
from infra.kubernetes.labels import OWNER
from infra.settings import object_names

if TYPE_CHECKING:
    from gateway.headscale.client import Headscale
    from infra.settings.headscale import HeadscaleSettings
    from infra.settings.stack import StackSettings

API_KEY_SECRET = object_names.API_KEY_SECRET
"""The Kubernetes Secret that is a managed server's API key's only home; `API_KEY` in it is the key."""
API_KEY = "api-key"
_NEW_KEY = "`pulumi up --refresh` makes a new one."
STILL_IN_THE_MESH = (
    "meshgate:headscale: it is missing, and nodes or keys of this stack are still there. Set it again, take every "
    "gateway out of the mesh (`mesh: false`, then `pulumi up`), and only then leave it out."
)


class ConnectionsError(Exception):
    """The stack's config does not lead to a connection."""


class NoServerError(ConnectionsError):
    """The settings have no `headscale` any more."""


class KeyLostError(ConnectionsError):
    """The Secret with a managed server's API key is gone."""


def settings_by(get: Callable[[str], object | None]) -> Callable[[], "StackSettings"]:
    """The settings that `get` answers for the stack's config keys, read once: checking many gateways takes its time."""

    @cache
    def read() -> "StackSettings":
        # Here, because a resource without connections needs no settings.
        from infra.settings.loading import SettingsError, load

        try:
            return load(get)
        except SettingsError as error:
            raise ConnectionsError(str(error)) from None

    return read


class Connections:
    """What one operation of a provider talks to, by the stack's settings, which are asked for when they are needed.

    All that it asks of the cluster goes over one connection, which ends with the `with` block.
    """

    def __init__(self, settings: Callable[[], "StackSettings"]) -> None:
        self._read = settings
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    @property
    def managed(self) -> bool:
        """Whether the stack declares the Headscale server itself."""
        return self._mesh.managed

    @property
    def new_key(self) -> str:
        """How a user comes by an API key that works."""
        if self.managed:
            return _NEW_KEY
        # Without --run-program those take the config of the last `up`, as a provider's settings are part of the state.
        return (
            "`headscale apikeys create` there makes one, `pulumi config set --secret headscale_api_key` sets it; "
            "refresh and destroy heed it with --run-program."
        )

    def headscale(self) -> "Headscale":
        """A client with the stack's API key. Raises as `api_key`."""
        return self.headscale_with(self.api_key())

    def api_key(self) -> str:
        """The stack's API key. Raises KeyLostError, ClusterError, and ConnectionsError for settings without one."""
        if not self.managed and (key := self._settings.headscale_api_key):
            return key.get_secret_value()
        namespace = self._settings.namespace
        secret = self.cluster.secret(namespace, API_KEY_SECRET)
        if secret is None or API_KEY not in secret:
            raise KeyLostError(
                f"Secret {namespace}/{API_KEY_SECRET}, which holds the API key of Headscale, is gone. {_NEW_KEY}"
            )
        return secret[API_KEY]

    def headscale_with(self, api_key: str) -> "Headscale":
        """A client with another API key."""
        # Here, so that a preview which talks to no server does not wait for an HTTP client's import.
        from gateway.headscale.client import Headscale

        return Headscale(self._mesh.url, api_key, ca_certificate=self._mesh.ca_certificate)

    @cached_property
    def cluster(self) -> KubernetesClient:
        """The Kubernetes cluster."""
        return self._opened.enter_context(KubernetesClient(self._settings.cluster.context))

    @property
    def recovers(self) -> bool:
        """Whether the stack takes over what a lost state of it made."""
        return self._settings.recover is not None

    def left_behind(self, secret: str | None) -> dict[str, str]:
        """What a Secret in the stack's namespace holds that a lost state made and this one takes over (`recover`)."""
        if secret is None or (lost := self._settings.recover) is None:
            return {}
        namespace = self._settings.namespace
        labels = self.cluster.labels(f"/api/v1/namespaces/{namespace}/secrets/{secret}")
        if labels is None or labels.get(OWNER) != lost:
            return {}
        return self.cluster.secret(namespace, secret) or {}

    @property
    def _mesh(self) -> "HeadscaleSettings":
        if self._settings.headscale is None:
            raise NoServerError(STILL_IN_THE_MESH)
        return self._settings.headscale

    @property
    def _settings(self) -> "StackSettings":
        return self._read()
