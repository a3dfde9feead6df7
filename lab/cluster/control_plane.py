"""The control plane's parts: etcd, API server, controllers, scheduler; which program, with which flags.

Every health endpoint listens on the node's address on the lan, so that
`lab.cluster.startup` can ask it from the host.
"""

from pathlib import Path

from lab import paths
from lab.cluster.pki import Pki, kubeconfig
from lab.cluster.roles import API_SERVER, CLUSTER_DOMAIN
from lab.network.addresses import CLUSTER
from lab.processes.supervision import Part


def etcd() -> Part:
    """The cluster's store; nobody outside the node reaches it. A lab need not survive power cuts."""
    return Part(
        "etcd",
        [
            "etcd",
            "--name=lab",
            f"--data-dir={paths.STATE / 'etcd'}",
            "--listen-client-urls=http://127.0.0.1:2379",
            "--advertise-client-urls=http://127.0.0.1:2379",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--initial-advertise-peer-urls=http://127.0.0.1:2380",
            "--initial-cluster=lab=http://127.0.0.1:2380",
            f"--listen-metrics-urls=http://{CLUSTER.host}:2381",
            "--unsafe-no-fsync",
        ],
    )


def kube_apiserver(kube: Path, pki: Pki) -> Part:
    """The API. Privileged pods are refused, as its default is."""
    return Part(
        "kube-apiserver",
        [
            kube,
            "kube-apiserver",
            f"--advertise-address={CLUSTER.node}",
            "--secure-port=6443",
            "--etcd-servers=http://127.0.0.1:2379",
            f"--service-cluster-ip-range={','.join(CLUSTER.services)}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            f"--client-ca-file={pki.ca}",
            f"--tls-cert-file={pki.certificate('kube-apiserver')}",
            f"--tls-private-key-file={pki.key('kube-apiserver')}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--kubelet-certificate-authority={pki.ca}",
            f"--kubelet-client-certificate={pki.certificate('kube-apiserver-kubelet-client')}",
            f"--kubelet-client-key={pki.key('kube-apiserver-kubelet-client')}",
            f"--service-account-issuer=https://kubernetes.default.svc.{CLUSTER_DOMAIN}",
            f"--service-account-key-file={pki.certificate('service-account')}",
            f"--service-account-signing-key-file={pki.key('service-account')}",
            f"--requestheader-client-ca-file={pki.ca}",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            f"--proxy-client-cert-file={pki.certificate('front-proxy-client')}",
            f"--proxy-client-key-file={pki.key('front-proxy-client')}",
            "--profiling=false",
        ],
    )


def kube_controller_manager(kube: Path, pki: Pki) -> Part:
    """The controllers, the host path provisioner among them: it makes and deletes volumes."""
    path = paths.CONFIG / "kube-controller-manager.kubeconfig"
    return Part(
        "kube-controller-manager",
        [
            kube,
            "kube-controller-manager",
            *_control_plane_flags(path, pki),
            f"--root-ca-file={pki.ca}",
            f"--service-account-private-key-file={pki.key('service-account')}",
            f"--cluster-signing-cert-file={pki.ca}",
            f"--cluster-signing-key-file={pki.key('ca')}",
            "--use-service-account-credentials",
            "--enable-hostpath-provisioner",
        ],
        files={path: kubeconfig(pki, "kube-controller-manager", API_SERVER)},
    )


def kube_scheduler(kube: Path, pki: Pki) -> Part:
    """The scheduler."""
    path = paths.CONFIG / "kube-scheduler.kubeconfig"
    return Part(
        "kube-scheduler",
        [kube, "kube-scheduler", *_control_plane_flags(path, pki)],
        files={path: kubeconfig(pki, "kube-scheduler", API_SERVER)},
    )


def _control_plane_flags(path: Path, pki: Pki) -> list[str]:
    return [
        f"--kubeconfig={path}",
        f"--authentication-kubeconfig={path}",
        f"--authorization-kubeconfig={path}",
        f"--bind-address={CLUSTER.node}",
        f"--tls-cert-file={pki.certificate('node')}",
        f"--tls-private-key-file={pki.key('node')}",
        "--leader-elect=false",
        "--profiling=false",
    ]
