"""What our modules on the controller share. The packages of this repository do their work."""

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from gateway.headscale.client import Headscale
    from infra.settings.stack import StackSettings

Params = Mapping[str, Any]
Result = dict[str, Any]

SERVER: dict[str, dict[str, Any]] = {
    "url": {"type": "str", "required": True},
    "api_key": {"type": "str", "required": True, "no_log": True},
    "ca_certificate": {"type": "str"},
}
"""Arguments of a module that talks to Headscale; documented in doc_fragments/meshgate_server.py."""

HEADSCALE: dict[str, Any] = {
    "type": "dict",
    "options": {
        "url": {"type": "str", "required": True},
        "ca_certificate": {"type": "str"},
        "user": {"type": "str", "default": "meshgate"},
    },
}
"""The argument of a module that is told of an existing server."""

_NEW_KEY = (
    "`headscale apikeys create` on the server makes another, which goes into `meshgate_headscale_api_key` "
    "(from ansible-vault, say)."
)


def start(arguments: dict[str, dict[str, Any]], **rules: object) -> AnsibleModule:
    """The module, once it is sure that our packages are there."""
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True, **rules)
    try:
        import infra.settings.loading  # noqa: F401
    except ImportError as error:
        module.fail_json(
            msg=f"Meshgate's packages are not there ({error}): run this repository's .venv/bin/ansible-playbook, and "
            'this task on localhost with ansible_python_interpreter "{{ ansible_playbook_python }}".'
        )
    return module


def stack_settings(values: Params, headscale: Params | None, names: Mapping[str, str]) -> "StackSettings":
    """The settings of a stack that has these values and perhaps an existing server.

    Raises SettingsError; `names` says how the playbooks call what it names.
    """
    from infra.settings.loading import SettingsError, load

    if headscale:
        server = {**headscale, "managed": False}
        values = {**values, "headscale": server, "headscale_api_key": "none is needed to check the rest"}
    try:
        return load(values.get)
    except SettingsError as error:
        raise SettingsError(renamed(str(error), names)) from None


def renamed(sentences: str, names: Mapping[str, str]) -> str:
    """Sentences about settings, which are called as the playbooks call them."""
    for name, here in names.items():
        sentences = sentences.replace(name, here)
    return sentences


def on_settings(arguments: dict[str, dict[str, Any]], facts: "Callable[[Params], Result]") -> None:
    """Run a module that checks settings and changes nothing. `facts` tells what follows, or raises SettingsError."""
    module = start(arguments)
    from infra.settings.loading import SettingsError

    try:
        result = facts(module.params)
    except SettingsError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


def on_headscale(
    arguments: dict[str, dict[str, Any]],
    work: "Callable[[Headscale, Params, bool], Result]",
    **rules: object,
) -> None:
    """Run a module that talks to Headscale. `work` gets the client, the arguments and whether nothing may change."""
    module = start({**SERVER, **arguments}, **rules)
    from pydantic import TypeAdapter, ValidationError

    from gateway.headscale.client import Headscale
    from gateway.headscale.errors import HeadscaleError, UnauthorizedError
    from infra.settings.value_types import ServerUrl

    # A call that had to be repeated is no news for the user.
    logging.getLogger("stamina").setLevel(logging.ERROR)
    params = module.params
    try:
        url = TypeAdapter(ServerUrl).validate_python(params["url"])
        with Headscale(url, params["api_key"], ca_certificate=params["ca_certificate"]) as headscale:
            result = work(headscale, params, module.check_mode)
    except ValidationError as error:
        module.fail_json(msg=f"url: {error.errors()[0]['msg'].removeprefix('Value error, ')}.")
    except UnauthorizedError as error:
        module.fail_json(msg=f"{error} {_NEW_KEY}")
    except HeadscaleError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


def change(before: Result | None, after: Result | None) -> Result:
    """The part of a result that says what is changed, for `--diff` too (whose output knows no lists, only objects)."""
    return {"changed": before != after, "diff": {"before": before or {}, "after": after or {}}}
