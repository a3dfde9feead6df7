"""What Pulumi keeps of an object: its inputs and, as outputs, the live object with three fields of our own.

`__inputs` repeats the inputs, `__initialApiVersion` and `__fieldManager` serve later updates. The official plugin
uses the same names, so that a stack can change from one plugin to the other.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lab.kubernetes_plugin.names import AUTONAMED
from lab.kubernetes_plugin.properties import Properties, Secret, Value, mark_secrets, reveal
from lab.kubernetes_plugin.quantities import same_quantity

FIELD_MANAGER = "__fieldManager"
_INPUTS = "__inputs"
_INITIAL_API_VERSION = "__initialApiVersion"

_SERVER_METADATA = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
)
_SERVER_ANNOTATIONS = ("deployment.kubernetes.io/revision", "kubectl.kubernetes.io/last-applied-configuration")

_MERGE_KEYS = ("mountPath", "devicePath", "containerPort", "port", "ip", "name")
"""Fields that tell the elements of the API's keyed lists apart (containers, env, ports, …)."""


def outputs(inputs: Properties, live: Mapping[str, Any], *, manager: str) -> Properties:
    """Return the outputs to keep: the live object, with the inputs' secrets marked, and our own fields."""
    marked = mark_secrets(dict(live), inputs)
    if live.get("kind") == "Secret" and "data" in marked and not isinstance(marked["data"], Secret):
        marked["data"] = Secret(marked["data"])
    own = {_INPUTS: inputs, _INITIAL_API_VERSION: inputs["apiVersion"], FIELD_MANAGER: manager}
    renamed: Properties = _without_dashes(marked | own)
    return renamed


def preview_outputs(inputs: Properties, live: Mapping[str, Any], *, manager: str) -> Properties:
    """Return the outputs of a dry run; its status is empty or old, so it is left out (unknown to the program)."""
    return outputs(inputs, {key: value for key, value in live.items() if key != "status"}, manager=manager)


def field_manager(state: Mapping[str, Any]) -> str | None:
    """Return the field manager that the state names."""
    manager = state.get(FIELD_MANAGER)
    return manager if isinstance(manager, str) else None


def kept_inputs(state: Mapping[str, Any]) -> Properties:
    """Return the inputs that the outputs repeat; empty for an object that was never managed."""
    kept: Properties = _with_dashes(state.get(_INPUTS, {}))
    return kept


def inputs_from_live(live: Mapping[str, Any], inputs: Mapping[str, Any]) -> Properties:
    """Return what the inputs would have to be for the object as it is: a drift becomes a difference.

    Only what the inputs name is compared; fields and list elements of other managers are left out.
    """
    pruned = _prune(live, reveal(dict(inputs)), ())
    marked: Properties = mark_secrets(pruned, inputs)
    return marked


def imported_inputs(live: Mapping[str, Any]) -> Properties:
    """Return inputs for an object found in the cluster: everything but what the server fills in."""
    found = {key: value for key, value in live.items() if key != "status"}
    metadata = {key: value for key, value in live["metadata"].items() if key not in _SERVER_METADATA}
    hidden = (*_SERVER_ANNOTATIONS, AUTONAMED)
    annotations = {key: value for key, value in metadata.pop("annotations", {}).items() if key not in hidden}
    found["metadata"] = metadata | ({"annotations": annotations} if annotations else {})
    if live.get("kind") == "Secret" and "data" in found:
        found["data"] = Secret(found["data"])
    return found


def _prune(live: Value, given: Value, path: tuple[str | int, ...]) -> Value:
    match live, given:
        case dict(), dict():
            # The server leaves empty members out ("readOnly: false", "labels: {}"): they are no drift.
            return {
                key: _prune(live[key], value, (*path, key)) if key in live else value
                for key, value in given.items()
                if key in live or not value
            }
        case list(), list():
            key = _merge_key(given)
            return _prune_keyed(live, given, key, path) if key else _prune_list(live, given, path)
        case _:
            return given if same_quantity(path, given, live) else live


def _prune_list(live: Sequence[Any], given: Sequence[Any], path: tuple[str | int, ...]) -> list[Any]:
    """Compare a list that has one owner: element by element; whatever was added is a drift."""
    common = [_prune(one, other, (*path, index)) for index, (one, other) in enumerate(zip(live, given, strict=False))]
    return [*common, *live[len(common) :]]


def _prune_keyed(live: Sequence[Any], given: Sequence[Any], key: str, path: tuple[str | int, ...]) -> list[Any]:
    """Compare a list whose elements may have different owners: ours, in our order, without the others."""
    found = {element[key]: element for element in live if isinstance(element, dict) and key in element}
    return [
        _prune(found[element[key]], element, (*path, index))
        for index, element in enumerate(given)
        if element[key] in found
    ]


def _merge_key(elements: Sequence[Any]) -> str | None:
    """Return the field by which the elements differ, None for a list that is compared by position."""
    for key in _MERGE_KEYS if elements else ():
        values = [element.get(key) for element in elements if isinstance(element, dict)]
        if len(values) == len(elements) and None not in values and len(set(map(str, values))) == len(values):
            return key
    return None


def _without_dashes(value: Value) -> Value:
    """Rename `x-kubernetes-…` members (CRD schemas) as Pulumi's outputs have them."""
    return _renamed(value, "x-kubernetes-", "-", "_")


def _with_dashes(value: Value) -> Value:
    return _renamed(value, "x_kubernetes_", "_", "-")


def _renamed(value: Value, prefix: str, old: str, new: str) -> Value:
    match value:
        case Secret():
            return Secret(_renamed(value.value, prefix, old, new))
        case dict():
            return {
                key.replace(old, new) if key.startswith(prefix) else key: _renamed(member, prefix, old, new)
                for key, member in value.items()
            }
        case list():
            return [_renamed(item, prefix, old, new) for item in value]
        case _:
            return value
