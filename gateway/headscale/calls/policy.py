"""Calls about the mesh's policy."""

from gateway.headscale.calls.typed import TypedSession
from gateway.headscale.errors import NotFoundError, RefusedError
from gateway.headscale.models import StoredPolicy
from gateway.headscale.session import Call


class PolicyCalls(TypedSession):
    """The policy: read, replaced, checked."""

    def policy(self) -> StoredPolicy | None:
        """The policy that the server goes by; None where none was ever set in its database."""
        try:
            return self._parsed(StoredPolicy, self.send(Call("GET", "policy")))
        except NotFoundError:
            return None
        except RefusedError as error:
            if "reading policy from" not in str(error):
                raise
            return StoredPolicy(text="")  # it is to be in a file, and there is none

    def set_policy(self, text: str) -> None:
        """Put this policy in the place of the one that is; raises RefusedError where that is in a file."""
        self.send(Call("PUT", "policy", body={"policy": text}, repeatable=True))

    def check_policy(self, text: str) -> None:
        """Ask whether the server would take this policy: a HeadscaleError if not, NoSuchCallError before 0.29."""
        self.send(Call("POST", "policy/check", body={"policy": text}, repeatable=True))
