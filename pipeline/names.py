"""What a GitHub environment may hold for the workflows: the names of its variables and secrets."""

from collections.abc import Mapping
from dataclasses import dataclass

BACKEND = "PULUMI_BACKEND_URL"
ORGANIZATION = "PULUMI_DEFAULT_ORGANIZATION"
TOKEN = "PULUMI_ACCESS_TOKEN"  # noqa: S105 (the name of a secret)
PASSPHRASE = "PULUMI_CONFIG_PASSPHRASE"  # noqa: S105
KUBECONFIG = "KUBECONFIG"
CONTENT = "KUBECONFIG_CONTENT"
"""The secret KUBECONFIG as a step gets it: KUBECONFIG itself is a file's name there."""


@dataclass(frozen=True)
class Cloud:
    """A cloud that has the state or the secrets' key, and what a login to it takes.

    `schemes` are those of its URLs. `login` are the variables of a login by GitHub's identity token, `more` those that
    it may have besides. `keys` are secrets that can take the login's place, `more_keys` go with them.
    """

    name: str
    schemes: tuple[str, ...]
    login: tuple[str, ...]
    more: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    more_keys: tuple[str, ...] = ()


AWS = Cloud(
    name="AWS",
    schemes=("s3", "awskms"),
    login=("AWS_ROLE_ARN",),
    keys=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    more_keys=("AWS_SESSION_TOKEN",),
)
GOOGLE = Cloud(
    name="Google Cloud",
    schemes=("gs", "gcpkms"),
    login=("GOOGLE_WORKLOAD_IDENTITY_PROVIDER",),
    more=("GOOGLE_SERVICE_ACCOUNT",),
)
AZURE = Cloud(
    name="Azure",
    schemes=("azblob", "azurekeyvault"),
    login=("AZURE_TENANT_ID", "AZURE_CLIENT_ID"),
)
CLOUDS = (AWS, GOOGLE, AZURE)

VARIABLES = (BACKEND, ORGANIZATION, *(name for cloud in CLOUDS for name in (*cloud.login, *cloud.more)))
SECRETS = (TOKEN, PASSPHRASE, KUBECONFIG, *(name for cloud in CLOUDS for name in (*cloud.keys, *cloud.more_keys)))


@dataclass(frozen=True)
class Given:
    """What a GitHub environment holds. `others` are names of its own that no workflow reads."""

    environment: str
    variables: Mapping[str, str]
    secrets: frozenset[str]
    others: frozenset[str] = frozenset()

    def has(self, name: str) -> bool:
        """Whether it has a variable or secret of this name."""
        return bool(self.variables.get(name)) or name in self.secrets

    def any_of(self, those: tuple[str, ...]) -> bool:
        """Whether it has one of these."""
        return any(map(self.has, those))

    def logs_in(self, cloud: Cloud) -> bool:
        """Whether it says who logs in to the cloud by GitHub's identity token."""
        return all(map(self.has, cloud.login))


def of_job(environment: str, variables: Mapping[str, str]) -> Given:
    """What a job's step was given in its own environment; GitHub gives what is not set as empty text."""
    return Given(
        environment,
        {name: value for name in VARIABLES if (value := variables.get(name))},
        frozenset(name for name in SECRETS if variables.get(CONTENT if name == KUBECONFIG else name)),
    )
