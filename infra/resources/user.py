"""HeadscaleUser: the Headscale user that owns a stack's nodes and keys."""

from collections.abc import Iterator
from typing import Any, ClassVar

from pulumi import Input, Output, ResourceOptions
from pulumi.dynamic import Resource
from typing_extensions import override

from gateway.headscale import devices
from gateway.headscale.errors import ConflictError, HeadscaleError, NotFoundError, OthersKeysError
from infra.resources import servers
from infra.resources.base import Props, Provider, log, sentence
from infra.resources.connections import Connections


class HeadscaleUserProvider(Provider):
    """Makes the user or adopts it by its name. One that was there before is used, and never deleted.

    Headscale 0.23 cannot tell who made a user: there one that a killed run left counts as adopted.
    """

    INPUTS = ("server", "user")
    REPLACING = ("user",)

    @override
    def refusals(self, connections: Connections, olds: Props, news: Props) -> Iterator[tuple[str, str]]:
        """An existing server must answer, and to this key; and its user must not be another state's."""
        if all(olds.get(name) == news[name] for name in self.INPUTS) or connections.managed:
            return
        try:
            with connections.headscale() as headscale:
                other = headscale.user(news["user"]).stack_id
        except NotFoundError:
            return
        except HeadscaleError as error:
            yield "", sentence(connections, error)  # it is not the name that is wrong
            return
        if other and other != news.get("stack_id") and not connections.recovers:
            yield (
                "user",
                f"Headscale user {news['user']} is of another state, perhaps of this stack: log in where that "
                f"state lies, or, if it is lost, take all of it over: `pulumi config set recover {other}`.",
            )

    @override
    def make(self, connections: Connections, props: Props) -> tuple[str, dict[str, Any]]:
        """Ensure that the user exists."""
        with connections.headscale() as headscale:
            try:
                user = headscale.user(props["user"])
                adopted = not user.made_by_us
            except NotFoundError:
                user, adopted = headscale.ensure_user(props["user"], stack_id=props["stack_id"]), False
            return user.name, {"user_id": user.id, "adopted": adopted, **servers.known(headscale)}

    @override
    def change(self, connections: Connections, id_: str, olds: Props, news: Props) -> dict[str, Any]:
        """Have the user at the server's new URL too, which is the same one there, or another server's."""
        _, outputs = self.make(connections, news)
        if outputs[servers.KEY] == olds.get(servers.KEY):
            return outputs | {"adopted": olds.get("adopted")}
        servers.tell_left(f"Headscale user {olds['user']}", olds)
        return outputs

    @override
    def look_up(self, connections: Connections, id_: str, props: Props) -> dict[str, Any] | None:
        """Whether the user is there."""
        with connections.headscale() as headscale:
            if servers.is_another(headscale, props):
                return None
            try:
                return {"user_id": headscale.user(props["user"]).id}
            except NotFoundError:
                return None

    @override
    def remove(self, connections: Connections, id_: str, props: Props) -> None:
        """Remove the user and its keys, but leave one that is adopted, or on which nodes hang that are none of ours."""
        if props.get("adopted"):
            log.warning("Headscale user %s is left where it is: it was there before this stack.", props["user"])
            return
        with connections.headscale() as headscale:
            if servers.is_left(headscale, props, f"Headscale user {props['user']}"):
                return
            try:
                headscale.delete_user(headscale.user(props["user"]))
            except NotFoundError:
                pass
            except OthersKeysError as error:
                log.warning("Headscale user %s is left where it is. %s", props["user"], error)
            except ConflictError:
                log.warning("Headscale user %s is left where it is: it owns nodes that are not ours.", props["user"])


class DevicesUserProvider(HeadscaleUserProvider):
    """The user whose keys the key service mints: it has no other nodes than those that joined by them."""

    @override
    def remove(self, connections: Connections, id_: str, props: Props) -> None:
        """Take the devices' nodes out of the mesh, and then the user with its keys."""
        if not props.get("adopted"):  # else it has nodes and keys of others
            with connections.headscale() as headscale:
                if not servers.is_another(headscale, props):  # whose user of that name is somebody else's
                    devices.take_out(headscale, props["user"])
        super().remove(connections, id_, props)


class _User(Resource):
    """A user by its name: a provider of its own makes each kind of it another resource."""

    user: Output[str]
    """Its name."""
    user_id: Output[str]

    provider: ClassVar[type[HeadscaleUserProvider]]

    def __init__(
        self,
        name: str,
        *,
        server: Input[str],
        user: Input[str],
        stack_id: Input[str],
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {"server": server, "user": user, "stack_id": stack_id}
        outputs = dict.fromkeys(("user_id", "adopted", servers.KEY))
        super().__init__(self.provider(), name, {**inputs, **outputs}, opts)


class HeadscaleUser(_User, module="meshgate", name="HeadscaleUser"):
    """The user named `user` of the Headscale at `server`, a URL."""

    provider = HeadscaleUserProvider


class DevicesUser(_User, module="meshgate", name="DevicesUser"):
    """The Headscale user named `user`, whose keys are those of an app's devices. They leave the mesh with it."""

    provider = DevicesUserProvider
