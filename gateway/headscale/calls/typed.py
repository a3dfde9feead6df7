"""A session whose answers are the models of `gateway.headscale.models`."""

from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from gateway.headscale.errors import UnexpectedAnswerError
from gateway.headscale.session import Call, Session

_Model = TypeVar("_Model", bound=BaseModel)


class TypedSession(Session):
    """A session that reads what it is answered."""

    def _list(self, model: type[_Model], field: str, path: str, query: dict[str, str] | None = None) -> list[_Model]:
        items = self.send(Call("GET", path, query or {})).get(field, [])
        return [self._parsed(model, item) for item in items]

    def _one(self, model: type[_Model], field: str, call: Call) -> _Model:
        return self._parsed(model, self.send(call).get(field))

    def _parsed(self, model: type[_Model], item: object) -> _Model:
        try:
            return model.model_validate(item)
        except ValidationError as error:
            fields = sorted({".".join(map(str, one["loc"])) or "all of it" for one in error.errors()})
            raise UnexpectedAnswerError(
                f"Headscale at {self.url} describes a {model.__name__} in a form unknown here ({', '.join(fields)})."
            ) from None


def segment(text: str) -> str:
    """Text as one part of a URL's path."""
    return quote(text, safe="")


def timestamp(moment: datetime) -> str:
    """RFC 3339 with Z: the one form that all versions take."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
