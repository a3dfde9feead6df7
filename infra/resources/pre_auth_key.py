"""PreAuthKey: the key by which a gateway joins the mesh without hands, and how long it is valid."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pulumi import Input, Output, ResourceOptions, contains_unknowns
from pulumi.dynamic import DiffResult, Resource
from typing_extensions import override

from gateway.headscale import exit_nodes, pre_auth_keys
from gateway.headscale.errors import HeadscaleError, NotFoundError
from infra.kubernetes.client import ClusterError
from infra.resources import servers
from infra.resources.base import Props, Provider, secret_outputs
from infra.resources.connections import Connections, ConnectionsError

POD_JOIN_HOURS, MACHINE_JOIN_HOURS = 1, 24
"""The lifetime of a key: a pod joins the mesh within the `up`, a machine when its playbook runs."""


class PreAuthKeyProvider(Provider):
    """Makes keys and removes them. A new lifetime is for the next key: it changes nothing on this one.

    So are other tags: a node that has joined gets them by itself (ExitNode).
    """

    INPUTS = ("server", "user", "owner", "volume", "reusable", "ephemeral")
    REPLACING = INPUTS

    @override
    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """A machine that had not joined when its key expired needs another one, and so does one with other tags."""
        result = super().diff(_id, _olds, _news)
        if result.changes or not _news.get("awaited"):
            return result
        if _olds.get("tags") != _news.get("tags"):
            return DiffResult(changes=True, replaces=["tags"])
        return DiffResult(changes=True, replaces=["expires_at"]) if self._missed(_id, _olds) else result

    def _missed(self, id_: str, props: Props) -> bool:
        """Asks Headscale only about a key that has expired; one that cannot be asked now will be another time."""
        if datetime.fromisoformat(props["expires_at"]) > datetime.now(UTC):
            return False
        try:
            with self.connect() as connections:
                return self.look_up(connections, id_, props) is None
        except (HeadscaleError, ClusterError, ConnectionsError):
            return False

    @override
    def refusals(self, connections: Connections, olds: Props, news: Props) -> Iterator[tuple[str, str]]:
        """Tags in Headscale's form, and a key that lives at all."""
        tags = news.get("tags")
        if not contains_unknowns(tags):
            for tag in tags or ():
                if not tag.startswith("tag:") or tag != tag.lower() or " " in tag:
                    yield "tags", f"{tag!r} is not a tag: it must start with `tag:`, in lower case, without spaces"
        hours = news.get("expiration_hours")
        if not contains_unknowns(hours) and hours is not None and hours <= 0:
            yield "expiration_hours", f"{hours:g} is no lifetime; give the hours that the gateway has to use the key"

    @override
    def make(self, connections: Connections, props: Props) -> tuple[str, dict[str, Any]]:
        """Make a key, after removing the unused one that a killed run of the same owner left."""
        with connections.headscale() as headscale:
            key = pre_auth_keys.make(
                headscale,
                headscale.user(props["user"]),
                props["owner"],
                lifetime=timedelta(hours=props["expiration_hours"]),
                reusable=props["reusable"],
                ephemeral=props["ephemeral"],
                tags=props["tags"],
            )
            known = servers.known(headscale)
        return key.id, {"key": key.key.get_secret_value(), "expires_at": key.expires_at, **known}

    @override
    def look_up(self, connections: Connections, id_: str, props: Props) -> dict[str, Any] | None:
        """Gone when nobody can join by it any more and its owner's node does not work.

        An `awaited` machine may be switched off. Its node is then no less there.
        """
        with connections.headscale() as headscale:
            if servers.is_another(headscale, props):
                return None
            key = pre_auth_keys.find(headscale, props["user"], id_)
            expected = exit_nodes.ExpectedNode(props["hostname"], props["user"], id_)
            connected = not props.get("awaited")
            serves = pre_auth_keys.serves(headscale, key, props["owner"], expected, connected=connected)
            return {} if serves else None

    @override
    def remove(self, connections: Connections, id_: str, props: Props) -> None:
        """Remove the key, and those of its owner that are spent; a node that joined by one stays."""
        with connections.headscale() as headscale:
            if servers.is_left(headscale, props, f"Pre-auth key {id_}"):
                return
            try:
                user = headscale.user(props["user"])
            except NotFoundError:
                return
            for key in pre_auth_keys.removable(headscale, user, props["owner"], id_):
                if key.id == id_ or not key.usable:  # its successor is usable
                    headscale.delete_pre_auth_key(user, key)


class PreAuthKey(Resource, module="meshgate", name="PreAuthKey"):
    """A pre-auth key of Headscale user `user`, single-use unless `reusable`; its id is Headscale's.

    `server` is the URL of the Headscale that it is of. `owner` names who will join by it, such as a gateway, and
    `hostname` its node. `volume` is what keeps that node's identity: on another one it has to join anew. A new key of
    an owner takes the place of its unused one. An `awaited` owner joins in its own time: a key that expired before that
    is made anew.
    """

    key: Output[str]
    """Secret."""
    expires_at: Output[str]
    """ISO 8601."""

    def __init__(
        self,
        name: str,
        *,
        server: Input[str],
        user: Input[str],
        owner: Input[str],
        hostname: Input[str],
        reusable: Input[bool] = False,
        ephemeral: Input[bool] = False,
        tags: Input[Sequence[Input[str]]] | None = None,
        expiration_hours: Input[float],
        volume: Input[str] | None = None,
        awaited: Input[bool] = False,
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "server": server,
            "user": user,
            "owner": owner,
            "hostname": hostname,
            "reusable": reusable,
            "ephemeral": ephemeral,
            "tags": [] if tags is None else tags,
            "expiration_hours": expiration_hours,
            "volume": volume,
            "awaited": awaited,
        }
        outputs = {"key": None, "expires_at": None, servers.KEY: None}
        super().__init__(PreAuthKeyProvider(), name, {**inputs, **outputs}, secret_outputs(opts, "key"))
