"""HeadscaleUser: the Headscale user that owns a stack's nodes and keys."""

from collections.abc import Iterator
from typing import Any

from pulumi import Input, Output, ResourceOptions
from pulumi.dynamic import Resource
from typing_extensions import override

from gateway.headscale import devices
from gateway.headscale.errors import ConflictError, HeadscaleError, NotFoundError
from infra.resources.base import Props, Provider, log, sentence
from infra.resources.connections import Connections


class HeadscaleUserProvider(Provider):
    """Makes the user or adopts it by its name, which is all that it is known by."""

    INPUTS = ("user",)
    REPLACING = INPUTS

    @override
    def refusals(self, connections: Connections, olds: Props, news: Props) -> Iterator[tuple[str, str]]:
        """An existing server must answer, and to this key: told before anything is made anywhere."""
        if connections.managed or olds.get("user") == news["user"]:
            return
        try:
            with connections.headscale() as headscale:
                headscale.user(news["user"])
        except NotFoundError:
            pass
        except HeadscaleError as error:
            yield "", sentence(connections, error)  # it is not the name that is wrong

    @override
    def make(self, connections: Connections, props: Props) -> tuple[str, dict[str, Any]]:
        """Ensure that the user exists."""
        with connections.headscale() as headscale:
            user = headscale.ensure_user(props["user"])
        return user.name, {"user_id": user.id}

    @override
    def look_up(self, connections: Connections, id_: str, props: Props) -> dict[str, Any] | None:
        """Whether the user is there."""
        with connections.headscale() as headscale:
            try:
                return {"user_id": headscale.user(props["user"]).id}
            except NotFoundError:
                return None

    @override
    def remove(self, connections: Connections, id_: str, props: Props) -> None:
        """Remove the user and its keys, but leave it when nodes that are none of ours hang on it."""
        with connections.headscale() as headscale:
            try:
                headscale.delete_user(headscale.user(props["user"]))
            except NotFoundError:
                pass
            except ConflictError:
                log.warning("Headscale user %s is left where it is: it owns nodes that are not ours.", props["user"])


class DevicesUserProvider(HeadscaleUserProvider):
    """The user whose keys the key service mints: it has no other nodes than those that joined by them."""

    @override
    def remove(self, connections: Connections, id_: str, props: Props) -> None:
        """Take the devices' nodes out of the mesh, and then the user with its keys."""
        with connections.headscale() as headscale:
            devices.take_out(headscale, props["user"])
        super().remove(connections, id_, props)


class HeadscaleUser(Resource, module="meshgate", name="HeadscaleUser"):
    """The Headscale user named `user`."""

    user: Output[str]
    """Its name."""
    user_id: Output[str]

    def __init__(self, name: str, *, user: Input[str], opts: ResourceOptions | None = None) -> None:
        super().__init__(HeadscaleUserProvider(), name, {"user": user, "user_id": None}, opts)


class DevicesUser(Resource, module="meshgate", name="DevicesUser"):
    """The Headscale user named `user`, whose keys are those of an app's devices. They leave the mesh with it."""

    user: Output[str]
    """Its name."""
    user_id: Output[str]

    def __init__(self, name: str, *, user: Input[str], opts: ResourceOptions | None = None) -> None:
        super().__init__(DevicesUserProvider(), name, {"user": user, "user_id": None}, opts)
