"""Calls about keys of the API itself."""

from datetime import datetime

from pydantic import SecretStr

from gateway.headscale.calls.typed import TypedSession, segment, timestamp
from gateway.headscale.errors import UnexpectedAnswerError
from gateway.headscale.models import ApiKey
from gateway.headscale.session import Call


class ApiKeyCalls(TypedSession):
    """API keys: listed, made, ended."""

    def api_keys(self, *, once: bool = False) -> list[ApiKey]:
        """All keys of the API, expired ones too."""
        keys = self.send(Call("GET", "apikey", once=once)).get("apiKeys", [])
        return [self._parsed(ApiKey, key) for key in keys]

    def own_api_key(self, *, once: bool = False) -> ApiKey | None:
        """The key that this client calls with, as the server lists it."""
        return next((key for key in self.api_keys(once=once) if key.prefix == self.key_prefix), None)

    def create_api_key(self, expiration: datetime) -> SecretStr:
        """A new key, whole."""
        call = Call("POST", "apikey", body={"expiration": timestamp(expiration)})
        key = self.send(call).get("apiKey")
        if not isinstance(key, str):
            raise UnexpectedAnswerError(f"Headscale at {self.url} made an API key but did not answer it.")
        return SecretStr(key)

    def expire_api_key(self, prefix: str) -> None:
        """End the key's life now."""
        self.send(Call("POST", "apikey/expire", body={"prefix": prefix}, repeatable=True))

    def delete_api_key(self, prefix: str) -> None:
        """Remove the key; raises NotFoundError when it is gone."""
        self.send(Call("DELETE", f"apikey/{segment(prefix)}"))
