"""A Headscale server's API as typed calls, one client for every version.

Servers differ in three places, told apart by how they answer. That outlives a proxy that lets nothing but the API
through, and a server of one's own build, whose version is "dev":
- pre-auth keys: of a user by name (to 0.25), of a user by id (0.26, 0.27), by their own id (from 0.28 on);
- routes: an API of their own (to 0.25), fields of the node (from 0.26 on);
- users: deleted by name (0.23) or by id.
Source: proto/headscale/v1 of each version; tests/contract/test_headscale.py runs this against real servers.
"""

from functools import cached_property
from typing import Any

from gateway.headscale.calls.nodes import NodeCalls
from gateway.headscale.calls.policy import PolicyCalls
from gateway.headscale.calls.users import UserCalls
from gateway.headscale.errors import NotFoundError, UnexpectedAnswerError
from gateway.headscale.session import Call


class Headscale(UserCalls, NodeCalls, PolicyCalls):
    """Calls to one Headscale server; use it as a context manager, or close it.

    Every method raises the errors of `gateway.headscale.errors` and nothing else.
    """

    def noise_key(self) -> str:
        """`mkey:` and 64 hexadecimal digits: the server's key of the control protocol, which all clients know."""
        return self._noise_key

    @cached_property
    def _noise_key(self) -> str:
        # Tailscale's clients ask by the version of that protocol. A server refuses old ones, and takes newer ones.
        key = self.send(Call("GET", f"{self.url}/key", {"v": "999"})).get("publicKey")
        if not isinstance(key, str):
            raise UnexpectedAnswerError(f"Headscale at {self.url} does not tell its Noise key.")
        return key

    def api_description(self) -> dict[str, Any] | None:
        """The server's own description of its API (Swagger 2.0), or None when it serves none."""
        try:
            return self.send(Call("GET", f"{self.url}/swagger/v1/openapiv2.json"))
        except (NotFoundError, UnexpectedAnswerError):
            return None
