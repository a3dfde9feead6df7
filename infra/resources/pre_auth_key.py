"""PreAuthKey: the key by which a gateway joins the mesh without hands, and how long it is valid."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pulumi import Input, Output, ResourceOptions, contains_unknowns
from pulumi.dynamic import DiffResult, Resource
from typing_extensions import override

from gateway.headscale import pre_auth_keys
from gateway.headscale.errors import HeadscaleError, NotFoundError
from infra.kubernetes.client import ClusterError
from infra.resources.base import Props, Provider, secret_outputs
from infra.resources.connections import Connections, ConnectionsError

POD_JOIN_HOURS, MACHINE_JOIN_HOURS = 1, 24
"""The lifetime of a key: a pod joins the mesh within the `up`, a machine when its playbook runs."""


class PreAuthKeyProvider(Provider):
    """Makes keys and removes them. A new lifetime is for the next key: it changes nothing on this one."""

    INPUTS = ("user", "owner", "reusable", "ephemeral", "tags")
    REPLACING = INPUTS

    @override
    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """A machine that had not joined when its key expired needs another one."""
        result = super().diff(_id, _olds, _news)
        if not result.changes and _news.get("awaited") and self._missed(_id, _olds):
            return DiffResult(changes=True, replaces=["expires_at"])
        return result

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
        return key.id, {"key": key.key.get_secret_value(), "expires_at": key.expires_at}

    @override
    def look_up(self, connections: Connections, id_: str, props: Props) -> dict[str, Any] | None:
        """Gone when nobody can join by it any more and no node of its owner is there."""
        with connections.headscale() as headscale:
            key = pre_auth_keys.find(headscale, props["user"], id_)
            return {} if key and pre_auth_keys.serves(headscale, key, props["owner"]) else None

    @override
    def remove(self, connections: Connections, id_: str, props: Props) -> None:
        """Remove the key, and those of its owner that are spent; a node that joined by one stays."""
        with connections.headscale() as headscale:
            try:
                user = headscale.user(props["user"])
            except NotFoundError:
                return
            for key in pre_auth_keys.removable(headscale, user, props["owner"], id_):
                if key.id == id_ or not key.usable:  # its successor is usable
                    headscale.delete_pre_auth_key(user, key)


class PreAuthKey(Resource, module="meshgate", name="PreAuthKey"):
    """A pre-auth key of Headscale user `user`, single-use unless `reusable`; its id is Headscale's.

    `owner` names who will join by it, such as a gateway. A new key of an owner takes the place of its unused one. An
    `awaited` owner joins in its own time: a key that expired before that is made anew.
    """

    key: Output[str]
    """Secret."""
    expires_at: Output[str]
    """ISO 8601."""

    def __init__(
        self,
        name: str,
        *,
        user: Input[str],
        owner: Input[str],
        reusable: Input[bool] = False,
        ephemeral: Input[bool] = False,
        tags: Input[Sequence[Input[str]]] | None = None,
        expiration_hours: Input[float],
        awaited: Input[bool] = False,
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "user": user,
            "owner": owner,
            "reusable": reusable,
            "ephemeral": ephemeral,
            "tags": [] if tags is None else tags,
            "expiration_hours": expiration_hours,
            "awaited": awaited,
        }
        outputs = {"key": None, "expires_at": None}
        super().__init__(PreAuthKeyProvider(), name, {**inputs, **outputs}, secret_outputs(opts, "key"))
