"""Calls about pre-auth keys, which versions address in three ways."""

from collections.abc import Collection
from datetime import datetime
from enum import Enum, auto
from functools import cached_property

from gateway.headscale.calls.api_keys import ApiKeyCalls
from gateway.headscale.calls.typed import timestamp
from gateway.headscale.errors import NotFoundError, RefusedError
from gateway.headscale.models import PreAuthKey, User
from gateway.headscale.session import Call


class KeyForm(Enum):
    """How a server's pre-auth keys are addressed."""

    BY_USER_NAME = auto()
    BY_USER_ID = auto()
    BY_ID = auto()


class PreAuthKeyCalls(ApiKeyCalls):
    """Pre-auth keys: listed, made, ended. How they are addressed is seen by the server's API keys."""

    def pre_auth_keys(self, user: User) -> list[PreAuthKey]:
        """The keys of that user, used and expired ones too."""
        if self._keys is KeyForm.BY_ID:
            keys = self._list(PreAuthKey, "preAuthKeys", "preauthkey")
            return [key for key in keys if key.user and key.user.id == user.id]
        keys = self._list(PreAuthKey, "preAuthKeys", "preauthkey", {"user": self._key_owner(user)})
        # They are that user's by the question: up to 0.25 they name him by his e-mail address if he has one.
        return [key.model_copy(update={"user": user}) for key in keys]

    def create_pre_auth_key(
        self,
        user: User,
        *,
        expiration: datetime,
        reusable: bool = False,
        ephemeral: bool = False,
        tags: Collection[str] = (),
    ) -> PreAuthKey:
        """A new key; only this answer holds it whole. Nodes that register with it get the tags."""
        body = {
            "user": self._key_owner(user),
            "reusable": reusable,
            "ephemeral": ephemeral,
            "expiration": timestamp(expiration),
            "aclTags": list(tags),
        }
        return self._one(PreAuthKey, "preAuthKey", Call("POST", "preauthkey", body=body))

    def expire_pre_auth_key(self, user: User, key: PreAuthKey) -> None:
        """End the key's life now; done when it has ended already."""
        if not key.usable:  # older servers answer an error to that
            return
        body = {"id": key.id}
        if self._keys is not KeyForm.BY_ID:
            body = {"user": self._key_owner(user), "key": key.key.get_secret_value()}
        self.send(Call("POST", "preauthkey/expire", body=body, repeatable=True))

    def delete_pre_auth_key(self, user: User, key: PreAuthKey) -> None:
        """Remove the key; servers before 0.28 can only expire it."""
        if self.deletes_pre_auth_keys:
            self.send(Call("DELETE", "preauthkey", query={"id": key.id}))
        else:
            self.expire_pre_auth_key(user, key)

    @property
    def deletes_pre_auth_keys(self) -> bool:
        """Whether a key can be removed; servers before 0.28 only let it expire."""
        return self._keys is KeyForm.BY_ID

    @cached_property
    def _keys(self) -> KeyForm:
        # Both answers are short on a server of any size. There is an API key: the one that asks.
        if any(key.is_masked for key in self.api_keys()):
            return KeyForm.BY_ID
        try:
            self.send(Call("GET", "preauthkey", {"user": "-"}))
        except NotFoundError:
            pass
        except RefusedError:  # that is no number
            return KeyForm.BY_USER_ID
        return KeyForm.BY_USER_NAME

    def _key_owner(self, user: User) -> str:
        return user.name if self._keys is KeyForm.BY_USER_NAME else user.id
