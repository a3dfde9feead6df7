"""What can go wrong, as exceptions whose text a user reads.

PluginError                     one sentence for the user
├── ClusterUnreachableError          no answer from the API server, or no usable kubeconfig
├── NoSuchKindError                  the API server does not serve this apiVersion and kind
├── ApiError                    the API server refused a request
├── InitializationError        the object exists but did not become ready
├── PartialFailureError              the same, with all that the state has to keep
└── CancelledError                   the engine asked to stop
"""

from collections.abc import Mapping, Sequence
from typing import Any

_IMMUTABLE = ("immutable", "may not be changed", "may not change", "updates to")
"""How API servers word that a field of an existing object cannot be changed."""


class PluginError(Exception):
    """Base of everything this plugin reports: `str()` is the sentence a user reads."""


class ClusterUnreachableError(PluginError):
    """The API server did not answer, or the kubeconfig cannot be used."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"configured Kubernetes cluster is unreachable: {reason}")


class NoSuchKindError(PluginError):
    """The API server serves no such apiVersion and kind, for example because a CRD is missing."""

    def __init__(self, api_version: str, kind: str) -> None:
        super().__init__(
            f'no matches for kind "{kind}" in version "{api_version}": the Kubernetes API server reported '
            "that the apiVersion for this resource does not exist. Verify that any required CRDs have been created."
        )


class ApiError(PluginError):
    """The API server answered with an HTTP error; `status` is its code, `details` its Status.details."""

    def __init__(self, status: int, reason: str, message: str, details: Mapping[str, Any]) -> None:
        self.status = status
        self.reason = reason
        self.details = details
        super().__init__(message)

    def reworded(self, message: str) -> "ApiError":
        """Return the same error with another text."""
        return ApiError(self.status, self.reason, message, self.details)

    @property
    def not_found(self) -> bool:
        """The object, or the namespace it would live in, does not exist."""
        return self.status == 404

    @property
    def namespace_not_found(self) -> bool:
        """The namespace that the object would live in does not exist."""
        return self.not_found and self.details.get("kind") == "namespaces"

    @property
    def already_exists(self) -> bool:
        """An object of this name exists."""
        return self.reason == "AlreadyExists"

    @property
    def conflict(self) -> bool:
        """Another field manager owns a field that was to change."""
        return self.status == 409 and self.reason == "Conflict"

    @property
    def immutable_fields(self) -> tuple[str, ...]:
        """The fields ("spec.selector") that the server refused to change on an existing object."""
        causes = self.details.get("causes", ()) if self.status == 422 else ()
        return tuple(
            cause["field"] for cause in causes if any(words in cause.get("message", "") for words in _IMMUTABLE)
        )


class InitializationError(PluginError):
    """The object exists but is not ready; `reasons` say why, `live` is its last known state."""

    def __init__(self, sentence: str, reasons: Sequence[str], live: Mapping[str, Any]) -> None:
        self.reasons = tuple(reasons)
        self.live = live
        super().__init__(sentence)


class PartialFailureError(PluginError):
    """An operation went halfway: the engine keeps `outputs` (and `inputs`, of a read) and the reasons."""

    def __init__(
        self,
        failure: InitializationError,
        sentence: str,
        *,
        resource_id: str,
        outputs: Mapping[str, Any],
        inputs: Mapping[str, Any] | None = None,
    ) -> None:
        self.resource_id = resource_id
        self.outputs = outputs
        self.inputs = inputs
        self.reasons = (sentence, *failure.reasons)
        super().__init__(sentence)


class CancelledError(PluginError):
    """The engine cancelled the operation."""

    def __init__(self, what: str) -> None:
        super().__init__(f"Stopped waiting for {what}: the operation was cancelled.")
