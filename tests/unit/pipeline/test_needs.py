"""What is missing, wrong or superfluous in a GitHub environment: each is one sentence."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import pytest

from pipeline.names import Given
from pipeline.needs import amiss
from pipeline.stack import BY_PASSPHRASE, BY_SERVICE, Stack

CLOUD, S3, GS = "https://api.pulumi.com", "s3://state?region=eu-central-1", "gs://state"
AZBLOB = "azblob://state?storage_account=acme"
AWSKMS, GCPKMS = (
    "awskms://alias/meshgate?region=eu-central-1",
    "gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K",
)
VAULT = "azurekeyvault://acme.vault.azure.net/keys/K"
ROLE = {"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/meshgate-prod"}
WORKLOAD = {
    "GOOGLE_WORKLOAD_IDENTITY_PROVIDER": "projects/123/locations/global/workloadIdentityPools/github/providers/acme"
}
APPLICATION = {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c"}
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def sentences(
    provider: str,
    url: str,
    secrets: Sequence[str] = (),
    variables: Mapping[str, str] = MappingProxyType({}),
    *,
    in_cluster: bool = False,
    others: tuple[str, ...] = (),
) -> list[str]:
    """What is amiss; what does not stop a run begins with a dot."""
    given = Given("prod", {"PULUMI_BACKEND_URL": url, **variables}, frozenset(secrets), frozenset(others))
    stack = Stack("prod", provider, in_cluster, None, "meshgate")
    return [f"{'' if one.stops else '• '}{one.sentence}" for one in amiss(given, stack)]


@pytest.mark.parametrize(
    ("provider", "url", "secrets", "variables"),
    [
        (BY_SERVICE, CLOUD, ["PULUMI_ACCESS_TOKEN"], {}),
        (BY_SERVICE, CLOUD, ["PULUMI_ACCESS_TOKEN"], {"PULUMI_DEFAULT_ORGANIZATION": "acme"}),
        (BY_PASSPHRASE, S3, ["PULUMI_CONFIG_PASSPHRASE", *KEYS], {}),
        (BY_PASSPHRASE, S3, ["PULUMI_CONFIG_PASSPHRASE", *KEYS, "AWS_SESSION_TOKEN"], {}),
        (AWSKMS, S3, [], ROLE),
        (GCPKMS, GS, [], WORKLOAD),
        (GCPKMS, GS, [], WORKLOAD | {"GOOGLE_SERVICE_ACCOUNT": "meshgate@acme.iam.gserviceaccount.com"}),
        (VAULT, AZBLOB, [], APPLICATION),
        (AWSKMS, CLOUD, ["PULUMI_ACCESS_TOKEN"], ROLE),
        (GCPKMS, S3, [], ROLE | WORKLOAD),
    ],
)
def test_what_is_whole_needs_no_word(provider: str, url: str, secrets: list[str], variables: dict[str, str]) -> None:
    assert sentences(provider, url, secrets, variables) == []


@pytest.mark.parametrize(
    ("provider", "url", "secrets", "variables", "sentence"),
    [
        (
            BY_SERVICE,
            CLOUD,
            [],
            {},
            "PULUMI_ACCESS_TOKEN is missing: add it to the secrets of the GitHub environment prod, for the state at "
            "https://api.pulumi.com.",
        ),
        (
            BY_PASSPHRASE,
            S3,
            KEYS,
            {},
            "PULUMI_CONFIG_PASSPHRASE is missing: add it to the secrets of the GitHub environment prod, since "
            "Pulumi.prod.yaml is encrypted with a passphrase.",
        ),
        (
            AWSKMS,
            S3,
            [],
            {},
            "AWS_ROLE_ARN is missing: add it to the variables of the GitHub environment prod, for s3://state and "
            "awskms://alias/meshgate (or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to its secrets).",
        ),
        (
            AWSKMS,
            S3,
            KEYS[:1],
            {},
            "AWS_SECRET_ACCESS_KEY is missing: add it to the secrets of the GitHub environment prod, for s3://state "
            "and awskms://alias/meshgate.",
        ),
        (
            VAULT,
            CLOUD,
            ["PULUMI_ACCESS_TOKEN"],
            {"AZURE_TENANT_ID": "t"},
            "AZURE_CLIENT_ID is missing: add it to the variables of the GitHub environment prod, for "
            "azurekeyvault://acme.vault.azure.net/keys/K.",
        ),
        (
            AWSKMS,
            S3,
            [],
            {"AWS_ROLE_ARN": "meshgate"},
            "AWS_ROLE_ARN is not of the form arn:aws:iam::123456789012:role/NAME.",
        ),
        (
            AWSKMS,
            "s3://state",
            [],
            ROLE,
            "PULUMI_BACKEND_URL has no `region`: add it, as in s3://state?region=….",
        ),
        (
            "awskms://alias/meshgate",
            S3,
            [],
            ROLE,
            "Pulumi.prod.yaml: secretsprovider has no `region`: add it, as in awskms://alias/meshgate?region=….",
        ),
        (
            VAULT,
            "azblob://state",
            [],
            APPLICATION,
            "PULUMI_BACKEND_URL has no `storage_account`: add it, as in azblob://state?storage_account=….",
        ),
        (
            BY_SERVICE,
            S3,
            KEYS,
            {},
            "Pulumi.prod.yaml does not say what its secrets are encrypted with: commit what `pulumi stack init prod` "
            "or `pulumi stack change-secrets-provider` wrote into it.",
        ),
        (
            AWSKMS,
            "file:///state",
            [],
            ROLE,
            "PULUMI_BACKEND_URL is file:///state, which ends with the runner: name a place that stays, such as "
            "https://api.pulumi.com, s3://…, gs://… or azblob://….",
        ),
        (
            AWSKMS,
            "state",
            [],
            ROLE,
            "PULUMI_BACKEND_URL is no backend that the workflows log in to: use https://api.pulumi.com, s3://…, gs://… "
            "or azblob://….",
        ),
        (
            "hashivault://meshgate",
            S3,
            KEYS,
            {},
            "Pulumi.prod.yaml: the workflows do not log in to hashivault; use a passphrase, awskms, gcpkms or "
            "azurekeyvault (docs/environments.md).",
        ),
        (
            AWSKMS,
            S3,
            ["PULUMI_DEFAULT_ORGANIZATION"],
            ROLE,
            "PULUMI_DEFAULT_ORGANIZATION is a secret of the GitHub environment prod, where no workflow looks for it: "
            "make it a variable.",
        ),
        (
            AWSKMS,
            S3,
            KEYS[1:],
            {"AWS_ACCESS_KEY_ID": "x"},
            "AWS_ACCESS_KEY_ID is a variable of the GitHub environment prod, which is no place for a secret: make it "
            "a secret, with a new value.",
        ),
    ],
)
def test_what_stops_a_run_is_told(
    provider: str, url: str, secrets: list[str], variables: dict[str, str], sentence: str
) -> None:
    told = sentences(provider, url, secrets, variables)
    assert [one for one in told if not one.startswith("• ")] == [sentence]


def test_a_cluster_takes_a_kubeconfig() -> None:
    (sentence,) = sentences(AWSKMS, S3, variables=ROLE, in_cluster=True)
    assert sentence == (
        "KUBECONFIG is missing: add it to the secrets of the GitHub environment prod, "
        "since prod has parts in a cluster."
    )


@pytest.mark.parametrize("login", [ROLE, WORKLOAD, APPLICATION])
def test_a_kubeconfig_may_log_in_by_any_cloud(login: dict[str, str]) -> None:
    assert sentences(BY_SERVICE, CLOUD, ["PULUMI_ACCESS_TOKEN", "KUBECONFIG"], login, in_cluster=True) == []


def test_what_is_superfluous_is_told_and_stops_nothing() -> None:
    secrets = ("PULUMI_CONFIG_PASSPHRASE", *KEYS, "KUBECONFIG", "PULUMI_ACCESS_TOKEN")
    told = sentences(AWSKMS, S3, secrets, ROLE | WORKLOAD, others=("PULUMI_BACKEND",))
    end = "; remove it from the GitHub environment prod."
    assert told == [
        f"• GOOGLE_WORKLOAD_IDENTITY_PROVIDER is superfluous: nothing of prod needs it{end}",
        f"• PULUMI_ACCESS_TOKEN is superfluous: nothing of prod needs it{end}",
        f"• PULUMI_CONFIG_PASSPHRASE is superfluous: nothing of prod needs it{end}",
        f"• KUBECONFIG is superfluous: nothing of prod needs it{end}",
        f"• AWS_ACCESS_KEY_ID is superfluous: AWS_ROLE_ARN takes its place{end}",
        f"• AWS_SECRET_ACCESS_KEY is superfluous: AWS_ROLE_ARN takes its place{end}",
        f"• PULUMI_BACKEND is superfluous: no workflow reads it{end}",
    ]
