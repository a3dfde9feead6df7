"""PreAuthKey: the key by which a gateway joins the mesh without hands.

A run that dies between making a key and storing its id leaves one that nobody holds; the mark in its expiration
(markers.py) lets the next run of the same owner find and remove it.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from pulumi import Input, Output, ResourceOptions, contains_unknowns
from pulumi.dynamic import Resource
from typing_extensions import override

from infra.headscale.errors import NotFoundError
from infra.resources import markers
from infra.resources.base import Props, Provider, secret_outputs


class PreAuthKeyProvider(Provider):
    """Makes keys and removes them. A new lifetime is for the next key: it changes nothing on this one."""

    INPUTS = ("user", "owner", "reusable", "ephemeral", "tags")
    REPLACING = INPUTS

    @override
    def refusals(self, olds: Props, news: Props) -> Iterator[tuple[str, str]]:
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
    def make(self, props: Props) -> tuple[str, dict[str, Any]]:
        """Make a key, after removing the unused one that a killed run of the same owner left."""
        with self.connections.headscale() as headscale:
            user = headscale.user(props["user"])
            for old in headscale.pre_auth_keys(user):
                if old.usable and markers.is_marked(old.expiration, props["owner"]):
                    headscale.delete_pre_auth_key(user, old)
            end = markers.expiration(props["owner"], after=timedelta(hours=props["expiration_hours"]))
            key = headscale.create_pre_auth_key(
                user, expiration=end, reusable=props["reusable"], ephemeral=props["ephemeral"], tags=props["tags"]
            )
        return key.id, {"key": key.key.get_secret_value(), "expires_at": end.isoformat()}

    @override
    def look_up(self, id_: str, props: Props) -> dict[str, Any] | None:
        """Gone when nobody can join by it any more and the node that did is gone too."""
        with self.connections.headscale() as headscale:
            try:
                user = headscale.user(props["user"])
            except NotFoundError:
                return None
            key = next((key for key in headscale.pre_auth_keys(user) if key.id == id_), None)
            if key is None:
                return None
            alive = key.usable or (key.used and any(node.pre_auth_key_id == id_ for node in headscale.nodes()))
        return {} if alive else None

    @override
    def remove(self, id_: str, props: Props) -> None:
        """Remove the key; the node that joined by it stays."""
        with self.connections.headscale() as headscale:
            try:
                user = headscale.user(props["user"])
            except NotFoundError:
                return
            for key in headscale.pre_auth_keys(user):
                if key.id == id_:
                    headscale.delete_pre_auth_key(user, key)


class PreAuthKey(Resource, module="meshgate", name="PreAuthKey"):
    """A pre-auth key of Headscale user `user`, single-use unless `reusable`; its id is Headscale's.

    `owner` names who will join by it, one gateway, say: a new key of the same owner takes the place of an unused one.
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
        expiration_hours: Input[float] = 1,
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "user": user,
            "owner": owner,
            "reusable": reusable,
            "ephemeral": ephemeral,
            "tags": [] if tags is None else tags,
            "expiration_hours": expiration_hours,
        }
        outputs = {"key": None, "expires_at": None}
        super().__init__(PreAuthKeyProvider(), name, {**inputs, **outputs}, secret_outputs(opts, "key"))
