"""Create, read, update and delete one object, for real or as a preview, and what the state keeps of it."""

from collections.abc import Mapping
from typing import Any

from lab.kubernetes_plugin import field_managers, state, submit
from lab.kubernetes_plugin.await_.readiness import READY
from lab.kubernetes_plugin.await_.wait import look_at_refresh, not_initialized
from lab.kubernetes_plugin.errors import (
    ClusterUnreachableError,
    InitializationError,
    NoSuchKindError,
    PartialFailureError,
)
from lab.kubernetes_plugin.names import annotations
from lab.kubernetes_plugin.object_client import Object
from lab.kubernetes_plugin.operation import Operation, object_id, split_id
from lab.kubernetes_plugin.properties import Properties, contains_unknown, reveal

DELETION_PROPAGATION = "pulumi.com/deletionPropagationPolicy"
_PROPAGATION = {"background": "Background", "orphan": "Orphan"}


def create(operation: Operation, inputs: Properties) -> tuple[str, Properties]:
    """Make the object and wait until it is ready; return its id and outputs.

    Raises PartialFailureError when it exists but is not ready, PluginError when it was not made.
    """
    manager = field_managers.new_manager()
    live = submit.create_object(operation, inputs, manager)
    unready = (
        f'resource "{operation.urn}" was successfully created, but the Kubernetes API server reported '
        "that it failed to fully initialize or become live"
    )
    return object_id(live), _once_ready(operation, inputs, live, manager, unready)


def preview_create(operation: Operation, inputs: Properties) -> Properties:
    """Return the outputs that a create would have, by a dry run; the inputs where none can tell."""
    if contains_unknown(inputs):
        return inputs
    manager = field_managers.new_manager()
    try:
        live = submit.try_create(operation, inputs, manager)
    except (NoSuchKindError, ClusterUnreachableError) as error:
        return _unseen(operation, inputs, error)
    return state.preview_outputs(inputs, live, manager=manager) if live else inputs


def update(operation: Operation, resource_id: str, inputs: Properties, old: Mapping[str, Any]) -> Properties:
    """Apply the new inputs to the object and return its outputs; wait until it is ready, unless updates are prompt.

    Raises PartialFailureError when they are applied but the object is not ready, PluginError when they are not.
    """
    manager = state.field_manager(old) or field_managers.new_manager()
    live = submit.apply_changes(operation, resource_id, inputs, manager)
    if operation.settings.prompt:
        return state.outputs(inputs, live, manager=manager)
    unready = f'the Kubernetes API server reported that "{resource_id}" failed to fully initialize or become live'
    return _once_ready(operation, inputs, live, manager, unready)


def preview_update(operation: Operation, resource_id: str, inputs: Properties, old: Mapping[str, Any]) -> Properties:
    """Return the outputs that an update would have, by a dry run; the inputs where none can tell."""
    if contains_unknown(inputs):
        return inputs
    manager = state.field_manager(old) or field_managers.new_manager()
    try:
        live = submit.try_changes(operation, resource_id, inputs, manager)
    except (NoSuchKindError, ClusterUnreachableError) as error:
        return _unseen(operation, inputs, error)
    return state.preview_outputs(inputs, live, manager=manager) if live else inputs


def read(
    operation: Operation, resource_id: str, inputs: Properties, old: Mapping[str, Any]
) -> tuple[Properties, Properties] | None:
    """Return the object's inputs and outputs as they are now, None when it is gone.

    Without inputs (an import, a `.get()`) they are made from the object. Raises PartialFailureError, with the
    same values, for a managed object that is not ready.
    """
    namespace, name = split_id(resource_id)
    live = operation.client.get(operation.kind, namespace, name)
    if live is None:
        return None
    manager = state.field_manager(old) or field_managers.new_manager()
    current = state.inputs_from_live(live, inputs) if inputs else state.imported_inputs(live)
    outputs = state.outputs(current, live, manager=manager)
    readiness = look_at_refresh(operation.client, operation.kind, live) if inputs else READY
    if not readiness.ready:
        failure = InitializationError(not_initialized(name), readiness.reasons, live)
        raise PartialFailureError(failure, str(failure), resource_id=resource_id, outputs=outputs, inputs=current)
    return current, outputs


def delete(operation: Operation, resource_id: str, old: Mapping[str, Any]) -> None:
    """Delete the object, with all it owns, and wait until it is gone; an object that is gone already is a success."""
    namespace, name = split_id(resource_id)
    live = operation.client.get(operation.kind, namespace, name)
    if live is None:
        return
    chosen = annotations(state.kept_inputs(reveal(dict(old)))).get(DELETION_PROPAGATION, "foreground")
    propagation = _PROPAGATION.get(chosen, "Foreground")
    operation.client.delete(operation.kind, namespace, name, propagation=propagation)
    operation.waiter.until_gone(operation.client, operation.kind, live)


def _once_ready(operation: Operation, inputs: Properties, live: Object, manager: str, unready: str) -> Properties:
    """Return the outputs once the object is ready; else fail with `unready` and what the state has to keep."""
    try:
        live = operation.waiter.until_ready(operation.client, operation.kind, live)
    except InitializationError as failure:
        outputs = state.outputs(inputs, failure.live, manager=manager)
        sentence = f"{unready}: {failure}"
        raise PartialFailureError(failure, sentence, resource_id=object_id(live), outputs=outputs) from failure
    return state.outputs(inputs, live, manager=manager)


def _unseen(operation: Operation, inputs: Properties, error: NoSuchKindError | ClusterUnreachableError) -> Properties:
    """Preview the inputs as they are: the kind does not exist yet, or the cluster does not answer."""
    if isinstance(error, ClusterUnreachableError):
        operation.warn(str(error))
    return inputs
