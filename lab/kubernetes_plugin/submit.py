"""Bring a manifest to the API server: who owns its fields, what may be overwritten, how a refusal reads.

A plain create makes the object; it fails if there is one of that name. Server-side apply changes it, under the
resource's own field manager.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from lab.kubernetes_plugin import field_managers
from lab.kubernetes_plugin.errors import ApiError, ClusterUnreachableError, NoSuchKindError, PluginError
from lab.kubernetes_plugin.names import annotations
from lab.kubernetes_plugin.object_client import Object
from lab.kubernetes_plugin.operation import Operation, split_id
from lab.kubernetes_plugin.properties import Properties, redact, reveal

PATCH_FORCE = "pulumi.com/patchForce"

_MISSING_PARTS_SECONDS = 10.0
"""How long a create waits for its namespace or its CRD to appear: the program may make them just now."""

_TAKE_OVER_ATTEMPTS = 10


def create_object(operation: Operation, inputs: Properties, manager: str) -> Object:
    """Make the object, or adopt an existing one where the provider's settings say so; return it.

    Raises PluginError when the API server refuses.
    """
    try:
        return _with_patience(operation, lambda: _submit(operation, inputs, manager, dry_run=False))
    except (ApiError, NoSuchKindError) as error:
        raise PluginError(
            f'resource "{operation.urn}" was not successfully created by the Kubernetes API server: {error}'
        ) from error


def try_create(operation: Operation, inputs: Properties, manager: str) -> Object | None:
    """Return the object that a create would make; None where a dry run cannot tell.

    A dry run cannot tell when the namespace does not exist yet, when the object still exists because a replacement will
    delete it first, or when the server does no dry run for us. Raises PluginError when the API server would refuse.
    """
    try:
        return _submit(operation, inputs, manager, dry_run=True)
    except ApiError as error:
        if error.namespace_not_found or error.already_exists or _no_dry_run(error):
            return None
        raise


def apply_changes(operation: Operation, resource_id: str, inputs: Properties, manager: str) -> Object:
    """FieldChange the object to what the inputs say; return it. Raises PluginError when the API server refuses."""
    wanted = _identified(inputs, _taken_over(operation, resource_id, manager))
    try:
        return _apply(operation, inputs, wanted, manager, force=_force(operation, wanted), dry_run=False)
    except ApiError as error:
        raise _update_error(operation, manager, error) from error


def try_changes(operation: Operation, resource_id: str, inputs: Properties, manager: str) -> Object | None:
    """Return the object that `apply_changes` would make of it; None where the server does no dry run for us."""
    live = _existing(operation, resource_id)
    wanted = _identified(inputs, live)
    # A real update first takes the fields of the create over: in a dry run, force stands for that.
    created = field_managers.created_by_pulumi(live["metadata"].get("managedFields", []))
    force = created or _force(operation, wanted)
    try:
        return _apply(operation, inputs, wanted, manager, force=force, dry_run=True)
    except ApiError as error:
        if _no_dry_run(error):
            return None
        raise _update_error(operation, manager, error) from error


def immutable_fields(operation: Operation, resource_id: str, inputs: Mapping[str, Any]) -> Sequence[str]:
    """Ask the API server, by a dry run, which fields it refuses to change; none when it cannot tell."""
    _, name = split_id(resource_id)
    wanted = dict(inputs) | {"metadata": inputs["metadata"] | {"name": name}}
    try:
        operation.client.apply(operation.kind, wanted, manager=field_managers.new_manager(), force=True, dry_run=True)
    except ApiError as error:
        return error.immutable_fields
    except (NoSuchKindError, ClusterUnreachableError):
        return ()
    return ()


def _submit(operation: Operation, inputs: Properties, manager: str, *, dry_run: bool) -> Object:
    """Create the object; apply it instead if existing ones are to be adopted."""
    obj: Object = reveal(inputs)
    if not operation.settings.upsert or "name" not in obj["metadata"]:
        with _without_secrets(inputs):
            return operation.client.create(operation.kind, obj, dry_run=dry_run)
    try:
        return _apply(operation, inputs, obj, manager, force=dry_run or _force(operation, obj), dry_run=dry_run)
    except ApiError as error:
        raise _conflict_explained(manager, error) from error


def _apply(
    operation: Operation, inputs: Properties, wanted: Object, manager: str, *, force: bool, dry_run: bool
) -> Object:
    with _without_secrets(inputs):
        return operation.client.apply(operation.kind, wanted, manager=manager, force=force, dry_run=dry_run)


def _with_patience(operation: Operation, attempt: Callable[[], Object]) -> Object:
    """Repeat an attempt for a while, as long as its namespace or kind is not there yet."""
    missing: PluginError
    for _ in operation.waiter.pauses(operation.kind.name, _MISSING_PARTS_SECONDS):
        try:
            return attempt()
        except NoSuchKindError as error:
            missing = error
        except ApiError as error:
            if not error.namespace_not_found:
                raise
            missing = error
    raise missing


def _existing(operation: Operation, resource_id: str) -> Object:
    live = operation.client.get(operation.kind, *split_id(resource_id))
    if live is None:
        raise PluginError(
            f'update of resource "{operation.urn}" failed: {operation.kind.name} "{resource_id}" does not exist '
            "any more. Run `pulumi refresh`, then `pulumi up` makes it anew."
        )
    return live


def _taken_over(operation: Operation, resource_id: str, manager: str) -> Object:
    """Return the live object once the fields of its create, and of kubectl, belong to its own manager."""
    for attempt in range(_TAKE_OVER_ATTEMPTS):
        live = _existing(operation, resource_id)
        entries = field_managers.take_over(live["metadata"].get("managedFields", []), manager)
        if entries is None:
            return live
        try:
            return operation.client.replace_managed_fields(operation.kind, live, entries)
        except ApiError as error:  # a controller has written the status in between
            if not error.conflict or attempt == _TAKE_OVER_ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


def _identified(inputs: Properties, live: Object) -> Object:
    """Return the manifest to apply: the inputs, under the name that the object has (generateName)."""
    wanted: Object = reveal(inputs)
    identity = {key: live["metadata"][key] for key in ("name", "namespace") if key in live["metadata"]}
    given = {key: value for key, value in wanted["metadata"].items() if key != "generateName"}
    return wanted | {"metadata": given | identity}


def _force(operation: Operation, obj: Mapping[str, Any]) -> bool:
    return operation.settings.patch_force or annotations(obj).get(PATCH_FORCE) == "true"


def _update_error(operation: Operation, manager: str, error: ApiError) -> PluginError:
    return PluginError(f'update of resource "{operation.urn}" failed: {_conflict_explained(manager, error)}')


def _conflict_explained(manager: str, error: ApiError) -> PluginError:
    if not error.conflict:
        return error
    return PluginError(
        f'Server-Side Apply field conflict detected: the resource managed by field manager "{manager}" had an '
        f"apply conflict: {error}. FieldChange it in one place only, or take the fields over with the annotation "
        f'{PATCH_FORCE}: "true".'
    )


@contextmanager
def _without_secrets(inputs: Properties) -> Iterator[None]:
    """Keep secret values, which the API server may quote, out of its error messages."""
    try:
        yield
    except ApiError as error:
        raise error.reworded(redact(str(error), inputs)) from None


def _no_dry_run(error: ApiError) -> bool:
    """Whether only the dry run is refused: no right to do it, or a webhook that cannot."""
    return error.status == 403 or (error.status == 400 and "dry run" in str(error))
