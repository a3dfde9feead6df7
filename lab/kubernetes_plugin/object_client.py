"""The API server: plain objects in, plain objects out, one keep-alive connection pool.

The `kubernetes` package is imported with the first request, because a preview without changes makes
none. Only the API groups in use are discovered.
"""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.kubernetes_plugin.errors import ApiError, ClusterUnreachableError, NoSuchKindError
from lab.kubernetes_plugin.kinds import Kind
from lab.kubernetes_plugin.kubeconfig import context_namespace, innermost_reason, load_configuration
from lab.kubernetes_plugin.provider_settings import ProviderSettings

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

Object = dict[str, Any]
"""A Kubernetes object as the API server's JSON has it."""

_TIMEOUT_SECONDS = (5.0, 60.0)  # to connect, and between two parts of an answer
_CONNECTIONS = 64  # as many as there are threads (__main__): none is thrown away
_APPLY = "application/apply-patch+yaml"
_JSON_PATCH = "application/json-patch+json"
_CREATE_MANAGER = "pulumi-kubernetes"
"""Field manager of a create; an update hands its fields to the manager in the state."""


@dataclass(frozen=True)
class _Resource:
    """How the API server serves a kind."""

    plural: str
    namespaced: bool


class ObjectClient:
    """One API server, as the provider's settings reach it. Safe to use from many threads."""

    def __init__(self, settings: ProviderSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._client: ApiClient | None = None
        self._groups: dict[str, dict[str, _Resource]] = {}

    def default_namespace(self) -> str:
        """Namespace of objects that name none: the provider's, else the kubeconfig context's, else "default"."""
        return self._settings.namespace or context_namespace(self._settings) or "default"

    def create(self, kind: Kind, obj: Object, *, dry_run: bool = False) -> Object:
        """Make an object that must not exist yet."""
        query = [("fieldManager", _CREATE_MANAGER), ("fieldValidation", "Strict"), *_dry_run(dry_run)]
        return self._request("POST", self._path(kind, _namespace(obj), None), query, obj)

    def apply(self, kind: Kind, obj: Object, *, manager: str, force: bool = False, dry_run: bool = False) -> Object:
        """Server-side apply: make the object, or change the fields that `manager` owns or now claims.

        Raises ApiError (`conflict`) when another manager owns one of them and `force` is not set.
        """
        query = [
            ("fieldManager", manager),
            ("force", "true" if force else "false"),
            ("fieldValidation", "Strict"),
            *_dry_run(dry_run),
        ]
        path = self._path(kind, _namespace(obj), obj["metadata"]["name"])
        return self._request("PATCH", path, query, obj, content_type=_APPLY)

    def replace_managed_fields(self, kind: Kind, obj: Object, entries: list[Object]) -> Object:
        """Write `metadata.managedFields` of an object as it was read; its other fields stay.

        Raises ApiError (`conflict`) when the object has changed since.
        """
        metadata = obj["metadata"]
        patch = [
            {"op": "replace", "path": "/metadata/managedFields", "value": entries},
            {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
        ]
        path = self._path(kind, _namespace(obj), metadata["name"])
        return self._request("PATCH", path, [], patch, content_type=_JSON_PATCH)

    def get(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        """Return the object, or None when it, its namespace or its kind does not exist."""
        try:
            return self._request("GET", self._path(kind, namespace, name))
        except NoSuchKindError:
            return None
        except ApiError as error:
            if error.not_found:
                return None
            raise

    def items(self, kind: Kind, namespace: str, selector: str) -> list[Object]:
        """Return the objects of a namespace with labels that match `selector` ("app=web,tier=front")."""
        answer = self._request("GET", self._path(kind, namespace, None), [("labelSelector", selector)])
        items: list[Object] = answer["items"]
        return items

    def delete(self, kind: Kind, namespace: str | None, name: str, *, propagation: str) -> None:
        """Ask for the object's deletion; an object that does not exist is a success."""
        try:
            self._request("DELETE", self._path(kind, namespace, name), body={"propagationPolicy": propagation})
        except NoSuchKindError:
            return
        except ApiError as error:
            if not error.not_found:
                raise

    def namespaced(self, kind: Kind) -> bool:
        """Whether objects of the kind live in a namespace; a guess for a kind that is not served yet."""
        if kind.built_in:
            return kind.namespaced
        try:
            return self._resource(kind).namespaced
        except (NoSuchKindError, ClusterUnreachableError):
            return kind.namespaced

    def _path(self, kind: Kind, namespace: str | None, name: str | None) -> str:
        resource = self._resource(kind)
        path = f"{_group_path(kind)}/"
        if resource.namespaced:
            path += f"namespaces/{namespace or self.default_namespace()}/"
        return path + resource.plural + (f"/{name}" if name else "")

    def _resource(self, kind: Kind) -> _Resource:
        known = self._groups.get(kind.api_version, {}).get(kind.name)
        if known:
            return known
        try:
            served = self._request("GET", _group_path(kind))["resources"]
        except ApiError as error:
            if error.not_found:
                raise NoSuchKindError(kind.api_version, kind.name) from error
            raise
        group = {
            entry["kind"]: _Resource(entry["name"], entry["namespaced"]) for entry in served if "/" not in entry["name"]
        }
        self._groups[kind.api_version] = group
        if kind.name not in group:
            raise NoSuchKindError(kind.api_version, kind.name)
        return group[kind.name]

    def _request(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str]] | None = None,
        body: Object | list[Object] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        from urllib3.exceptions import HTTPError

        client = self._connect()
        headers = {"Accept": "application/json"} | ({"Content-Type": content_type} if body is not None else {})
        call = client.param_serialize(
            method, path, query_params=query or [], header_params=headers, body=body, auth_settings=["BearerToken"]
        )
        try:
            response = client.call_api(*call, _request_timeout=_TIMEOUT_SECONDS)
            payload = response.read()
        except HTTPError as error:
            raise ClusterUnreachableError(f"{client.configuration.host}: {innermost_reason(error)}") from error
        answer = _decode(payload)
        if not 200 <= response.status < 300:
            raise _api_error(response.status, answer, f"{method} {path}")
        return answer

    def _connect(self) -> "ApiClient":
        with self._lock:
            if self._client is None:
                from kubernetes.client import ApiClient

                configuration = load_configuration(self._settings)
                configuration.connection_pool_maxsize = _CONNECTIONS
                configuration.retries = 1
                self._client = ApiClient(configuration)
            return self._client


def _group_path(kind: Kind) -> str:
    return f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"


def _namespace(obj: Mapping[str, Any]) -> str | None:
    namespace: str | None = obj["metadata"].get("namespace")
    return namespace


def _dry_run(wanted: bool) -> list[tuple[str, str]]:
    return [("dryRun", "All")] if wanted else []


def _decode(payload: bytes) -> Object:
    try:
        answer = json.loads(payload)
    except ValueError:
        return {"message": payload.decode(errors="replace").strip()}
    return answer if isinstance(answer, dict) else {"message": str(answer)}


def _api_error(status: int, answer: Mapping[str, Any], request: str) -> ApiError:
    message = answer.get("message") or f"the API server answered {status} to {request}"
    return ApiError(status, answer.get("reason", ""), message, answer.get("details") or {})
