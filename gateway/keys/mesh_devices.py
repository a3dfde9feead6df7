"""Devices that are nodes of the mesh, as Headscale knows them: nothing is kept here.

A device is its pre-auth key. It has joined when a node registered with that key. Whose it is stands in the key's
expiration, as a mark (`markers`), so another owner cannot ask for it or remove it. The methods block while Headscale
answers.
"""

from collections.abc import Callable, Container, Iterable, Set
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from pydantic import SecretStr

from gateway.headscale import markers
from gateway.headscale.client import Headscale
from gateway.headscale.errors import NotFoundError
from gateway.headscale.models import Node, PreAuthKey, User
from gateway.keys.errors import OwnerFullError, UnknownError
from gateway.keys.settings import KeySettings


@dataclass(frozen=True)
class Minted:
    """A key for one device, said once."""

    id: str
    key: SecretStr
    expires_at: datetime


@dataclass(frozen=True)
class MeshDevice:
    """A device: the node that it has become, or None while it has not joined."""

    id: str
    node: Node | None
    expires_at: datetime | None
    """When it can join no more."""


class MeshDevices:
    """The devices of one Headscale user. Errors are those of `gateway.headscale.errors`."""

    def __init__(self, connect: Callable[[], Headscale], settings: KeySettings) -> None:
        self._connect = connect
        self._settings = settings

    def mint(self, owner: str, *, ephemeral: bool) -> Minted:
        """A key that one device can join by, once; OwnerFullError if the owner has enough of them."""
        with self._connect() as headscale:
            user = headscale.ensure_user(self._settings.user)
            keys = headscale.pre_auth_keys(user)
            joined = _nodes_by(headscale, user, {key.id for key in keys if key.used})
            for key in _spent(keys, joined) if headscale.deletes_pre_auth_keys else ():
                headscale.delete_pre_auth_key(user, key)
            own = [key for key in keys if _is_of(key, owner) and (key.usable or key.id in joined)]
            if len(own) >= self._settings.devices_per_owner:
                raise OwnerFullError(self._settings.devices_per_owner)
            made = headscale.create_pre_auth_key(
                user,
                expiration=markers.expiration(_mark(owner), after=self._settings.lifetime),
                ephemeral=ephemeral,
                tags=self._settings.tags,
            )
        return Minted(made.id, made.key, made.expiration or datetime.max)

    def find(self, device: str, owner: str) -> MeshDevice:
        """The owner's device; UnknownError if there is none."""
        with self._connect() as headscale:
            user, key = self._key(headscale, device, owner)
            node = _nodes_by(headscale, user, {key.id}).get(key.id) if key.used else None
        if node is None and not key.usable:
            raise UnknownError
        return MeshDevice(key.id, node, key.expiration)

    def remove(self, device: str, owner: str) -> None:
        """Let the owner's device join no more, and take its node out of the mesh; UnknownError if there is none."""
        with self._connect() as headscale:
            user, key = self._key(headscale, device, owner)
            # First the key: a node that joins while it is looked for would be overlooked.
            headscale.expire_pre_auth_key(user, key)
            node = _nodes_by(headscale, user, {key.id}).get(key.id)
            if not (key.usable or node):
                raise UnknownError
            if node:
                with suppress(NotFoundError):
                    headscale.delete_node(node.id)
            if headscale.deletes_pre_auth_keys:
                with suppress(NotFoundError):
                    headscale.delete_pre_auth_key(user, key)

    def check(self) -> None:
        """Ask Headscale for something, by the API key."""
        with self._connect() as headscale:
            headscale.ensure_user(self._settings.user)

    def _key(self, headscale: Headscale, device: str, owner: str) -> tuple[User, PreAuthKey]:
        try:
            user = headscale.user(self._settings.user)
        except NotFoundError as error:
            raise UnknownError from error
        for key in headscale.pre_auth_keys(user):
            if key.id == device and _is_of(key, owner):
                return user, key
        raise UnknownError


def _mark(owner: str) -> str:
    return f"device/{owner}"


def _is_of(key: PreAuthKey, owner: str) -> bool:
    return markers.is_marked(key.expiration, _mark(owner))


def _spent(keys: Iterable[PreAuthKey], joined: Container[str]) -> list[PreAuthKey]:
    """Keys that nobody can join by, and whose nodes are gone."""
    return [key for key in keys if not key.usable and key.id not in joined]


def _nodes_by(headscale: Headscale, user: User, keys: Set[str]) -> dict[str, Node]:
    """The nodes that joined by these keys of the user, each of which lets in one.

    They are looked for among the user's own. From 0.28 on a tagged node is nobody's: whoever is missing may be one.
    """
    if not keys:
        return {}
    own_only = not headscale.deletes_pre_auth_keys
    found: dict[str, Node] = {}
    for node in headscale.nodes(user.name) if own_only else headscale.nodes_from(user.name):
        if (key := node.pre_auth_key_id) and key in keys:
            found[key] = node
        if len(found) == len(keys):
            break
    return found
