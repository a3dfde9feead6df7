"""A real API server on loopback for contract tests: etcd, kube-apiserver and the controllers that objects need.

There is no kubelet: pods are made but never run, so tests write their status by hand.
"""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from kubernetes import config
from kubernetes.client import ApiClient, CoreV1Api, VersionApi
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from lab.cluster import pki
from lab.tools import go_builds, pinned_tools
from tests.contract.programs import free_port, running
from tests.deadlines import wait_for

STARTUP_SECONDS = 90
_HOST = "127.0.0.1"
_CONTROLLERS = (
    "deployment-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "persistentvolume-binder-controller",
    "persistentvolume-protection-controller",
    "persistentvolumeclaim-protection-controller",
    "replicaset-controller",
    "replicationcontroller-controller",
    "resourcequota-controller",
    "serviceaccount-controller",
)


class ApiServer:
    """A running API server: `kubeconfig` is an administrator's, `api` a client with it."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.api: ApiClient = config.new_client_from_config(str(kubeconfig))


@contextmanager
def api_server(directory: Path, services: str = "10.96.0.0/16") -> Iterator[ApiServer]:
    """Start everything in `directory` (data, certificates, logs); end it, last first, at the end.

    `services` is where Services get their addresses, which makes the cluster one of IPv4 or of IPv6.
    """
    kube, etcd = go_builds.resolve(pinned_tools.KUBE), shutil.which("etcd")
    assert etcd, "etcd is missing; install the package etcd-server"
    port, etcd_port, peer_port, manager_port = (free_port() for _ in range(4))
    certificates = pki.Pki(directory / "pki")
    certificates.ensure(
        (
            pki.Subject("admin", "test-admin", "system:masters"),
            pki.Subject("kube-apiserver", "kube-apiserver", hosts=(_HOST, "kubernetes.default.svc")),
            pki.Subject("service-account", "service-account"),
        )
    )
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(pki.kubeconfig(certificates, "admin", f"https://{_HOST}:{port}"))
    with ExitStack() as stack:
        stack.enter_context(running(_etcd(directory, etcd, etcd_port, peer_port), directory / "etcd.log"))
        apiserver = _apiserver(kube, certificates, port, etcd_port, services)
        stack.enter_context(running(apiserver, directory / "kube-apiserver.log"))
        server = ApiServer(kubeconfig)
        _wait_until_ready(server.api, directory / "kube-apiserver.log")
        manager = (
            str(kube),
            "kube-controller-manager",
            f"--kubeconfig={kubeconfig}",
            f"--controllers={','.join(_CONTROLLERS)}",
            "--leader-elect=false",
            "--concurrent-gc-syncs=2",
            f"--bind-address={_HOST}",
            f"--secure-port={manager_port}",
            f"--cert-dir={directory / 'controller-manager'}",
        )
        stack.enter_context(running(manager, directory / "kube-controller-manager.log"))
        _wait_for_service_accounts(server.api, directory / "kube-controller-manager.log")
        yield server
        server.api.close()


def _etcd(directory: Path, etcd: str, port: int, peer_port: int) -> tuple[str, ...]:
    client, peer = f"http://{_HOST}:{port}", f"http://{_HOST}:{peer_port}"
    return (
        etcd,
        f"--data-dir={directory / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
    )


def _apiserver(kube: Path, certificates: pki.Pki, port: int, etcd_port: int, services: str) -> tuple[str, ...]:
    return (
        str(kube),
        "kube-apiserver",
        f"--etcd-servers=http://{_HOST}:{etcd_port}",
        f"--bind-address={_HOST}",
        # Of the family of the Services.
        f"--advertise-address={'::1' if ':' in services else _HOST}",
        f"--secure-port={port}",
        "--endpoint-reconciler-type=none",
        f"--service-cluster-ip-range={services}",
        "--authorization-mode=RBAC",
        f"--client-ca-file={certificates.ca}",
        f"--tls-cert-file={certificates.certificate('kube-apiserver')}",
        f"--tls-private-key-file={certificates.key('kube-apiserver')}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={certificates.certificate('service-account')}",
        f"--service-account-signing-key-file={certificates.key('service-account')}",
    )


def _wait_until_ready(api: ApiClient, log: Path) -> None:
    def ready() -> bool:
        try:
            VersionApi(api).get_code()
            CoreV1Api(api).read_namespace("default")
        except (HTTPError, ApiException):
            return False
        return True

    wait_for(ready, "the API server", STARTUP_SECONDS, log)


def _wait_for_service_accounts(api: ApiClient, log: Path) -> None:
    """Wait for the controllers' first visible work: without a service account no pod is admitted."""
    accounts = partial(CoreV1Api(api).list_namespaced_service_account, "default")
    wait_for(lambda: accounts().items, "the controllers' first service account", STARTUP_SECONDS, log)
