"""The few calls of the Kubernetes API that we need, over one connection; objects are dicts with the API's own names."""

import base64
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from gateway.headscale.redaction import excerpt

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

FIELD_MANAGER = "meshgate"
_LABELS = {"app.kubernetes.io/managed-by": "meshgate"}
_APPLY = "application/apply-patch+yaml"
_TIMEOUT = (5, 20)
"""Seconds to connect, and to answer."""
_EXEC_SECONDS = 30
_READING = threading.Lock()
"""Held while a client connects: threads share clients, and the files that the library makes of certificates."""
_REMEDY = "set KUBECONFIG to a kubeconfig that works, and `cluster.context` to one of its contexts"


class ClusterError(Exception):
    """The cluster refused a call; the text is one sentence."""


class ClusterUnavailableError(ClusterError):
    """The cluster cannot be reached, or no kubeconfig says where it is."""


class KubernetesClient:
    """The cluster of a kubeconfig context, the current one when None; inside a pod without a kubeconfig, its own.

    `kubeconfig` is a file; KUBECONFIG's or ~/.kube/config when None. The first call connects, and the end of the
    `with` block disconnects. Methods answer None for an object that is not there, and raise ClusterError.
    """

    def __init__(self, context: str | None, kubeconfig: str | None = None) -> None:
        self._context = context
        self._kubeconfig = kubeconfig
        self._connection: ApiClient | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any] | None:
        """The object, or the list, at a path of the API."""
        answer = self._send("GET", path, query)
        if answer is None:
            return None
        document: dict[str, Any] = json.loads(answer)
        return document

    def labels(self, path: str) -> dict[str, str] | None:
        """The labels of the object at a path of the API."""
        found = self.get(path)
        return None if found is None else dict(found["metadata"].get("labels", {}))

    def secret(self, namespace: str, name: str) -> dict[str, str] | None:
        """The values of a Secret, decoded."""
        found = self.get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
        if found is None:
            return None
        return {key: base64.b64decode(value).decode() for key, value in found.get("data", {}).items()}

    def apply_secret(
        self, namespace: str, name: str, values: Mapping[str, str], labels: Mapping[str, str] = _LABELS
    ) -> None:
        """Make the Secret hold these values, with these labels."""
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        metadata = {"name": name, "namespace": namespace, "labels": labels}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}
        self._apply(f"/api/v1/namespaces/{namespace}/secrets/{name}", body, FIELD_MANAGER)

    def delete_secret(self, namespace: str, name: str) -> None:
        """Remove the Secret, if it is there."""
        self._send("DELETE", f"/api/v1/namespaces/{namespace}/secrets/{name}")

    def deployment(self, namespace: str, name: str) -> dict[str, Any] | None:
        """The Deployment."""
        return self.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")

    def apply_deployment(self, namespace: str, name: str, spec: Mapping[str, Any], manager: str) -> dict[str, Any]:
        """The Deployment after it holds this part of a spec; the manager gives up what it had and `spec` has not."""
        metadata = {"name": name, "namespace": namespace}
        body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
        return self._apply(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}", body, manager)

    def pods(self, deployment: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The pods of a Deployment, oldest first."""
        namespace, labels = deployment["metadata"]["namespace"], deployment["spec"]["selector"]["matchLabels"]
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        found = self.get(f"/api/v1/namespaces/{namespace}/pods", {"labelSelector": selector}) or {}
        return sorted(found.get("items", []), key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def logs(self, namespace: str, pod: str, container: str, lines: int, *, previous: bool = False) -> str:
        """What a container logged last, or the one before it; empty when that one never started."""
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        try:
            asked = {"container": container, "tailLines": str(lines), "previous": str(previous).lower()}
            return self._send("GET", path, asked) or ""
        except ClusterUnavailableError:
            raise
        except ClusterError:  # 400: the container waits to start
            return ""

    def execute(self, namespace: str, deployment: str, command: Sequence[str], container: str | None = None) -> str:
        """Standard output of a command in the Deployment's newest running pod; None is its only container."""
        from kubernetes.client import ApiException, CoreV1Api
        from kubernetes.stream import stream
        from kubernetes.stream.ws_client import ERROR_CHANNEL

        where = f"Deployment {namespace}/{deployment}"
        pod = self._running_pod(namespace, deployment)
        try:
            with self._api() as api:
                channel = stream(
                    CoreV1Api(api).connect_get_namespaced_pod_exec,
                    pod,
                    namespace,
                    command=list(command),
                    **({"container": container} if container else {}),
                    stdout=True,
                    stderr=True,
                    stdin=False,
                    tty=False,
                    _preload_content=False,
                )
                channel.run_forever(timeout=_EXEC_SECONDS)
                output: str = channel.read_stdout(timeout=0)
                errors: str = channel.read_stderr(timeout=0)
                verdict: dict[str, Any] = json.loads(channel.read_channel(ERROR_CHANNEL, timeout=0) or "{}")
                channel.close()
        except ApiException as error:
            raise ClusterError(f"{where} runs no command: {excerpt(str(error.reason))}.") from error
        if verdict.get("status") != "Success":
            # Not the output, which may hold a key.
            reason = errors or verdict.get("message") or f"it did not end within {_EXEC_SECONDS} s"
            raise ClusterError(f"`{' '.join(command[:3])}` in {where} failed: {excerpt(reason)}.")
        return output

    def _running_pod(self, namespace: str, deployment: str) -> str:
        found = self.deployment(namespace, deployment)
        if found is None:
            raise ClusterError(f"Deployment {namespace}/{deployment} does not exist.")
        for pod in reversed(self.pods(found)):
            if pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]:
                return str(pod["metadata"]["name"])
        raise ClusterError(f"Deployment {namespace}/{deployment} has no running pod.")

    def _apply(self, path: str, body: Mapping[str, Any], manager: str) -> dict[str, Any]:
        """Server-side apply: https://kubernetes.io/docs/reference/using-api/server-side-apply/."""
        answer = self._send("PATCH", path, {"fieldManager": manager, "force": "true"}, body)
        if answer is None:
            raise ClusterError(f"The cluster does not know {path}.")
        applied: dict[str, Any] = json.loads(answer)
        return applied

    def _send(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> str | None:
        """The answer's text, or None for 404."""
        headers = {"Accept": "application/json, */*", "Content-Type": _APPLY if body else "application/json"}
        with self._api() as api:
            request = api.param_serialize(
                method, path, None, list((query or {}).items()), headers, body, auth_settings=["BearerToken"]
            )
            response = api.call_api(*request, _request_timeout=_TIMEOUT)
            text: str = response.read().decode(errors="replace")
        if response.status == 404:
            return None
        if response.status >= 400:
            raise ClusterError(f"The cluster refuses {method} {path} ({response.status}): {_message(text)}")
        return text

    @contextmanager
    def _api(self) -> Iterator["ApiClient"]:
        """The connection; whatever it fails by is one sentence."""
        from urllib3.exceptions import HTTPError  # see _connected

        with _READING:
            if self._connection is None:
                self._connection = _connected(self._kubeconfig, self._context)
            api = self._connection
        try:
            yield api
        except (HTTPError, OSError) as error:
            # urllib3 tells the connection and all attempts before it comes to the reason.
            reason = excerpt(str(getattr(error, "reason", error)).rpartition("): ")[2]) or type(error).__name__
            raise ClusterUnavailableError(
                f"The cluster at {api.configuration.host} cannot be reached: {reason}; {_REMEDY}."
            ) from error


def _connected(kubeconfig: str | None, context: str | None) -> "ApiClient":
    # Here, because this import takes a second, for which a preview without changes need not wait.
    from kubernetes import config
    from kubernetes.client import ApiClient, Configuration

    configuration = Configuration()
    try:
        if not (kubeconfig or context or "KUBECONFIG" in os.environ) and "KUBERNETES_SERVICE_HOST" in os.environ:
            config.load_incluster_config(client_configuration=configuration)
        else:
            config.load_kube_config(kubeconfig, context, configuration, persist_config=False)
    except Exception as error:
        # The library fails by whatever it stumbles over in a user's file.
        which = f"context {context} of the kubeconfig" if context else "the kubeconfig"
        why = excerpt(str(error)) if isinstance(error, config.ConfigException) else _unreadable(error)
        raise ClusterUnavailableError(f"There is no cluster: {which} cannot be used ({why}); {_REMEDY}.") from error
    return ApiClient(configuration)


def _unreadable(error: Exception) -> str:
    """Why a file cannot be read. The parsers' own texts repeat it, and it may hold a token."""
    if isinstance(error, OSError):
        return str(error.strerror)
    return "it is not text" if isinstance(error, UnicodeDecodeError) else "it is not a kubeconfig"


def _message(text: str) -> str:
    """The message of a Status object, or the text itself."""
    try:
        document = json.loads(text)
    except ValueError:
        return excerpt(text)
    return excerpt(str(document.get("message", text)))
