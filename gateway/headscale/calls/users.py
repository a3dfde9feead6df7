"""Calls about users."""

from gateway.headscale.calls.pre_auth_keys import KeyForm, PreAuthKeyCalls
from gateway.headscale.calls.typed import segment
from gateway.headscale.errors import ConflictError, NotFoundError, OthersKeysError, RefusedError
from gateway.headscale.models import OURS, PreAuthKey, User
from gateway.headscale.session import Call


class UserCalls(PreAuthKeyCalls):
    """Users: found, made, and deleted with their pre-auth keys."""

    def user(self, name: str) -> User:
        """The user of that name; raises NotFoundError."""
        # 0.23 ignores the filter and lists all.
        for user in self._list(User, "users", "user", {"name": name}):
            if user.name == name:
                return user
        raise NotFoundError(f"Headscale at {self.url} has no user {name!r}.")

    def ensure_user(self, name: str, *, stack_id: str = "") -> User:
        """The user of that name, made when there is none, and then marked as made by us (0.24 and later)."""
        try:
            return self.user(name)
        except NotFoundError:
            pass
        try:
            return self._one(
                User, "user", Call("POST", "user", body={"name": name, "displayName": f"{OURS} {stack_id}".strip()})
            )
        except ConflictError:  # made by someone else in between
            return self.user(name)

    def delete_user(self, user: User) -> None:
        """Delete the user and its pre-auth keys; raises ConflictError while it owns nodes, NotFoundError when gone.

        Raises OthersKeysError, and deletes nothing, where the server would delete other users' keys too.
        """
        if self._keys is KeyForm.BY_ID and not self._has_call("policy/check"):  # 0.28, which 0.29 mends
            keys = self._list(PreAuthKey, "preAuthKeys", "preauthkey")
            if any(key.user is None or key.user.id != user.id for key in keys):
                raise OthersKeysError(
                    f"Headscale at {self.url} is a 0.28, which would delete the pre-auth keys of all users along with "
                    f"user {user.name}; 0.29 does not."
                )
        handle = user.name if user.display_name is None else user.id
        self.send(Call("DELETE", f"user/{segment(handle)}"))

    def _has_call(self, path: str) -> bool:
        """Whether the server knows such a path, if only by another method than GET."""
        try:
            self.send(Call("GET", path))
        except NotFoundError:
            return False
        except RefusedError:
            pass
        return True
