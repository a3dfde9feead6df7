"""What is missing or superfluous in a GitHub environment, by the stack's backend and secrets provider: sentences."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from pipeline import names
from pipeline.names import BACKEND, CLOUDS, SECRETS, VARIABLES, Given
from pipeline.stack import BY_PASSPHRASE, BY_SERVICE, Stack

_EXAMPLES = "https://api.pulumi.com, s3://…, gs://… or azblob://…"
_FORMS = {
    names.AWS.login[0]: (re.compile(r"arn:aws[\w-]*:iam::\d{12}:role/\S+"), "arn:aws:iam::123456789012:role/NAME"),
    names.GOOGLE.login[0]: (
        re.compile(r"projects/\d+/locations/global/workloadIdentityPools/[^/\s]+/providers/[^/\s]+"),
        "projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER",
    ),
}
"""How the value of a variable looks, and an example of it."""
_PARAMETERS = {"s3": "region", "awskms": "region", "azblob": "storage_account"}
"""What a URL has to say for the workflows, by its scheme."""


@dataclass(frozen=True)
class Amiss:
    """A sentence on what is missing, wrong or superfluous; only the last lets a run go on."""

    sentence: str
    stops: bool = True


def amiss(given: Given, stack: Stack) -> Iterator[Amiss]:
    """All that is amiss in what a GitHub environment holds for a stack."""
    url = given.variables.get(BACKEND, "")
    needed = dict(_needed(given, stack, url))
    yield from (_missing(name, why, given) for name, why in needed.items() if not given.has(name))
    yield from _misplaced(given)
    yield from _unfit(given, stack, url)
    yield from _superfluous(given, stack, url, set(needed))


def scheme(url: str) -> str:
    """The scheme of a backend's or a secrets provider's URL."""
    return urlsplit(url).scheme


def _needed(given: Given, stack: Stack, url: str) -> Iterator[tuple[str, str]]:
    """The variables and secrets that there must be, each with what it is for."""
    yield BACKEND, ""
    if _is_pulumi_cloud(url):
        yield names.TOKEN, f"for the state at {url}"
    if stack.provider == BY_PASSPHRASE:
        yield names.PASSPHRASE, f"since {stack.file} is encrypted with a passphrase"
    if stack.in_cluster:
        yield names.KUBECONFIG, f"since {stack.name} has parts in a cluster"
    for cloud in CLOUDS:
        places = [_bare(place) for place in (url, stack.provider) if scheme(place) in cloud.schemes]
        begun = given.any_of(cloud.login)
        if places or (begun and stack.in_cluster):
            by_keys = given.any_of(cloud.keys) and not begun
            instead = f" (or {' and '.join(cloud.keys)} to its secrets)" if cloud.keys and not by_keys else ""
            for name in cloud.keys if by_keys else cloud.login:
                yield name, f"for {' and '.join(places) or f'the login to {cloud.name}'}{instead}"


def _missing(name: str, why: str, given: Given) -> Amiss:
    where = "variables" if name in VARIABLES else "secrets"
    reason = f", {why}" if why else ""
    return Amiss(f"{name} is missing: add it to the {where} of the GitHub environment {given.environment}{reason}.")


def _misplaced(given: Given) -> Iterator[Amiss]:
    for name in SECRETS:
        if name in given.variables:
            yield Amiss(
                f"{name} is a variable of the GitHub environment {given.environment}, which is no place for a secret: "
                "make it a secret, with a new value."
            )
    for name in VARIABLES:
        if name in given.secrets:
            yield Amiss(
                f"{name} is a secret of the GitHub environment {given.environment}, where no workflow looks for it: "
                "make it a variable."
            )


def _unfit(given: Given, stack: Stack, url: str) -> Iterator[Amiss]:
    """Values that cannot work."""
    known = {name for cloud in CLOUDS for name in cloud.schemes}
    if scheme(url) == "file":
        yield Amiss(f"{BACKEND} is {url}, which ends with the runner: name a place that stays, such as {_EXAMPLES}.")
    elif url and not _is_pulumi_cloud(url) and scheme(url) not in known:
        yield Amiss(f"{BACKEND} is no backend that the workflows log in to: use {_EXAMPLES}.")
    elif url and stack.provider == BY_SERVICE and not _is_pulumi_cloud(url):
        yield Amiss(
            f"{stack.file} does not say what its secrets are encrypted with: commit what `pulumi stack init "
            f"{stack.name}` or `pulumi stack change-secrets-provider` wrote into it."
        )
    if stack.provider not in (BY_SERVICE, BY_PASSPHRASE) and scheme(stack.provider) not in known:
        yield Amiss(
            f"{stack.file}: the workflows do not log in to {scheme(stack.provider) or stack.provider}; use a "
            "passphrase, awskms, gcpkms or azurekeyvault (docs/environments.md)."
        )
    for what, place in ((BACKEND, url), (f"{stack.file}: secretsprovider", stack.provider)):
        parameter = _PARAMETERS.get(scheme(place))
        if parameter and parameter not in parse_qs(urlsplit(place).query):
            yield Amiss(f"{what} has no `{parameter}`: add it, as in {_bare(place)}?{parameter}=….")
    for name, (form, example) in _FORMS.items():
        value = given.variables.get(name)
        if value and not form.fullmatch(value):
            yield Amiss(f"{name} is not of the form {example}.")


def _superfluous(given: Given, stack: Stack, url: str, needed: set[str]) -> Iterator[Amiss]:
    allowed = set(needed)
    if _is_pulumi_cloud(url):
        allowed.add(names.ORGANIZATION)
    for cloud in CLOUDS:
        # A kubeconfig may log in to its cluster with it.
        if stack.in_cluster or {scheme(url), scheme(stack.provider)} & set(cloud.schemes):
            by_login = given.any_of(cloud.login)
            allowed.update((*cloud.login, *cloud.more) if by_login else (*cloud.keys, *cloud.more_keys))
    for name in (*VARIABLES, *SECRETS):
        if given.has(name) and name not in allowed:
            yield Amiss(
                f"{name} is superfluous: {_instead(name, given, stack)}; remove it from the GitHub environment "
                f"{given.environment}.",
                stops=False,
            )
    for name in sorted(given.others):
        yield Amiss(
            f"{name} is superfluous: no workflow reads it; remove it from the GitHub environment {given.environment}.",
            stops=False,
        )


def _instead(name: str, given: Given, stack: Stack) -> str:
    for cloud in CLOUDS:
        if name in (*cloud.keys, *cloud.more_keys) and given.any_of(cloud.login):
            return f"{' and '.join(cloud.login)} takes its place"
    return f"nothing of {stack.name} needs it"


def _is_pulumi_cloud(url: str) -> bool:
    return scheme(url) in ("https", "http")


def _bare(url: str) -> str:
    return url.partition("?")[0]
