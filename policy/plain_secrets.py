"""No secret stands where whoever looks at a workload can read it. Its name tells that it is one, or its form.

CrossGuard shows a policy the values themselves, and hides which of them Pulumi knows to be secret. A preview shows
that, and hides the values. Both are a violation here: the cluster shows to many what is in a Deployment.
"""

import re
from collections.abc import Iterator, Mapping

from infra.settings.secret_forms import FORMS
from policy.declared import SECRET, DeclaredResource, DeclaredStack, at, containers, each, environment

WORKLOAD_ENV = "pulumi-python:dynamic/meshgate:WorkloadEnv"
CONFIG_MAP = "kubernetes:core/v1:ConfigMap"

_NAME = re.compile(r"(TOKEN|KEY|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL)S?(_|$)", re.IGNORECASE)
_OF_A_GATEWAY = re.compile(r"^GATEWAY_\w+_(?=(PUBLIC_KEY|ENDPOINT|PEERS_URL|PEERS_TOKEN)$)")
"""A gateway's name in the env of the orchestrator, which says nothing of what the value is: `turkey`, `key-west`."""
_PUBLIC = re.compile(r"PUBLIC_?KEY", re.IGNORECASE)
_REFERENCE = re.compile(r"_(FILE|PATH|DIR|NAME|ID|URL)$", re.IGNORECASE)
_KEY = re.compile(r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=")
"""32 bytes in base64, as WireGuard writes its keys: a private one looks like a public one."""
_RIGHT = "give it by reference, from a Secret."


def plain_secrets(resource: DeclaredResource, _: DeclaredStack) -> Iterator[str]:
    """The secrets in environments, commands and ConfigMaps; never their values."""
    for container in containers(resource):
        where = f"container {container['name']}"
        yield from _in_environment(where, environment(container))
        for argument in (*each(container, "command"), *each(container, "args")):
            yield from _in_text(f"the command of {where}", argument)
    if resource.type == WORKLOAD_ENV:
        values = at(resource.props, "values")
        yield from _in_environment(f"container {at(resource.props, 'container')}", values if values != SECRET else {})
        if values == SECRET:
            yield f"the values of {resource.name} are a secret in plain text; {_RIGHT}"
    if resource.type.removesuffix("Patch") == CONFIG_MAP:
        for key, text in (at(resource.props, "data") or {}).items():
            yield from _in_text(f"{key} of ConfigMap {resource.name}", text)


def _in_environment(where: str, values: Mapping[str, object] | None) -> Iterator[str]:
    for name in values or {}:
        value = at(values, name)
        if not isinstance(value, str) or not value:
            continue
        property_ = _OF_A_GATEWAY.sub("", name)
        public, reference = _PUBLIC.search(property_), _REFERENCE.search(property_) or value.startswith("file:")
        if not public and _NAME.search(property_) and not reference:
            yield f"{name} of {where} is a secret by its name, in plain text; {_RIGHT}"
        elif not public and _KEY.fullmatch(value):
            yield f"{name} of {where} has the form of a private WireGuard key, in plain text; {_RIGHT}"
        else:
            yield from _in_text(f"{name} of {where}", value)


def _in_text(where: str, text: object) -> Iterator[str]:
    if text == SECRET:
        yield f"{where} is a secret in plain text; {_RIGHT}"
    for what, form in FORMS.items():
        if isinstance(text, str) and form.search(text):
            yield f"{where} holds {what}, in plain text; {_RIGHT}"
