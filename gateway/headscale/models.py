"""What a Headscale server tells about itself, read the same from every version.

Only the fields in use are read; unknown ones are ignored. Ids are strings everywhere.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AliasChoices, AliasPath, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic.alias_generators import to_camel

from gateway.headscale import EXIT_ROUTES

_NO_DISCO_KEY = "discokey:" + "0" * 64
_API_KEY, _MASK = "hskey-api-", "***"


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


OURS = "Meshgate"
"""How the display name of each user begins that we made: one that was there before is never deleted."""


class User(_Answer):
    """Owner of nodes and pre-auth keys."""

    id: str
    name: str
    display_name: str | None = None
    """None before 0.24, whose calls name users where later ones give the id."""

    @property
    def made_by_us(self) -> bool | None:
        """Whether Meshgate made the user; None where the server cannot tell."""
        return None if self.display_name is None else self.display_name.startswith(OURS)

    @property
    def stack_id(self) -> str | None:
        """The id of the stack's state that made the user, if one did."""
        return (self.display_name or "").removeprefix(OURS).strip() or None if self.made_by_us else None


def _named(user: object) -> object:
    """A pre-auth key's user, which is a bare text up to 0.25: the e-mail address if there is one, else the name."""
    return {"id": "", "name": user} if isinstance(user, str) else user


class PreAuthKey(_Answer):
    """A key that lets a node register without hands."""

    id: str
    key: SecretStr
    """Whole at creation; afterwards masked from 0.28 on."""
    user: Annotated[User | None, BeforeValidator(_named)] = None
    reusable: bool
    ephemeral: bool
    used: bool
    expiration: datetime | None
    acl_tags: tuple[str, ...] = ()

    @property
    def expires_at(self) -> str:
        """Its end, ISO 8601; empty when it has none, unlike all those that are made here."""
        return self.expiration.isoformat() if self.expiration else ""

    @property
    def usable(self) -> bool:
        """Whether a node could still register with it."""
        expired = self.expiration is not None and self.expiration <= datetime.now(UTC)
        return not expired and (self.reusable or not self.used)


TAGGED = "tagged-devices"
"""The name of the user that a server tells for a node with tags from 0.28 on, whoever it was of."""


class Route(_Answer):
    """A row of the routes API, which servers have up to 0.25."""

    id: str
    node_id: Annotated[str, Field(validation_alias=AliasPath("node", "id"))]
    prefix: str
    advertised: bool
    enabled: bool


class Node(_Answer):
    """A machine of the mesh."""

    id: str
    name: str
    """The host name that the machine gave."""
    given_name: str
    """The name in the mesh: unique, by default made from the host name."""
    node_key: str
    """`nodekey:` and 64 hexadecimal digits: the machine's key among its mesh peers."""
    disco_key: str = _NO_DISCO_KEY
    addresses: tuple[str, ...] = Field(alias="ipAddresses")
    user: User | None = None
    """None or `TAGGED` for a tagged node."""
    pre_auth_key: PreAuthKey | None = None
    online: bool = False
    expiry: datetime | None = None
    """The end of its key, after which the machine must join again; year 1 before 0.25 for none."""
    tags: Annotated[tuple[str, ...], Field(validation_alias=AliasChoices("tags", "forcedTags"))] = ()
    approved_routes: tuple[str, ...] = ()
    available_routes: tuple[str, ...] = ()
    route_rows: tuple[Route, ...] | None = None
    """The routes as rows, on servers up to 0.25; later ones have no such rows."""

    def with_routes(self, rows: Sequence[Route]) -> "Node":
        """The node with its routes as a server's routes API tells them."""
        return self.model_copy(
            update={
                "approved_routes": tuple(row.prefix for row in rows if row.enabled),
                "available_routes": tuple(row.prefix for row in rows if row.advertised),
                "route_rows": tuple(rows),
            }
        )

    @property
    def connected(self) -> bool:
        """Whether the machine is here for good: `online` alone comes before its first map request."""
        return self.online and self.disco_key != _NO_DISCO_KEY

    @property
    def expired(self) -> bool:
        """Whether the machine must join again."""
        return self.expiry is not None and self.expiry.year > 1 and self.expiry <= datetime.now(UTC)

    @property
    def pre_auth_key_id(self) -> str | None:
        """Id of the pre-auth key that registered the machine."""
        return self.pre_auth_key.id if self.pre_auth_key else None

    @property
    def offers_exit(self) -> bool:
        """Whether the machine advertises both exit routes."""
        return set(EXIT_ROUTES) <= set(self.available_routes)

    @property
    def is_exit(self) -> bool:
        """Whether both exit routes are approved."""
        return set(EXIT_ROUTES) <= set(self.approved_routes)


class StoredPolicy(_Answer):
    """The policy that a server goes by."""

    text: Annotated[str, Field(alias="policy")]
    """HuJSON, as it was given; empty where the file is missing."""
    updated_at: datetime | None = None

    @property
    def in_a_file(self) -> bool:
        """Whether it is the server's own file, which no call changes."""
        return self.updated_at is None


class ApiKey(_Answer):
    """A key of the API, without its secret part."""

    id: str
    shown: Annotated[str, Field(alias="prefix")]
    """The prefix as the server shows it: bare up to 0.27, masked as `hskey-api-PREFIX-***` from 0.28 on."""
    expiration: datetime | None
    created_at: datetime | None = None

    @property
    def prefix(self) -> str:
        """What names the key in calls."""
        if not self.is_masked:
            return self.shown
        return self.shown.removeprefix(_API_KEY).removesuffix(_MASK).removesuffix("-")

    @property
    def is_masked(self) -> bool:
        """Whether the server masks keys; one that made no new-form key yet shows its old ones as `PREFIX***`."""
        return self.shown.endswith(_MASK)


def api_key_prefix(key: str) -> str:
    """The prefix of a whole API key, `hskey-api-PREFIX-SECRET` or, before 0.28, `PREFIX.SECRET`."""
    new = key.removeprefix(_API_KEY)
    return new[:12] if new != key else key.partition(".")[0]
