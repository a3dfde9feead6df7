"""Names that the cluster's parts share, and who shows which certificate."""

from lab.cluster.node import HOSTNAME
from lab.cluster.pki import Subject
from lab.network import topology
from lab.network.addresses import CLUSTER

API_SERVER = f"https://{CLUSTER.host}:6443"
CLUSTER_DOMAIN = "cluster.local"

SUBJECTS = (
    Subject(
        "kube-apiserver",
        "kube-apiserver",
        hosts=(
            topology.NODE_IPV4,
            topology.NODE_IPV6,
            "127.0.0.1",
            *CLUSTER.api_services,
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            f"kubernetes.default.svc.{CLUSTER_DOMAIN}",
        ),
    ),
    Subject("kube-apiserver-kubelet-client", "kube-apiserver-kubelet-client", "system:masters"),
    Subject("front-proxy-client", "front-proxy-client"),
    Subject("admin", "meshgate-lab-admin", "system:masters"),
    Subject("node", f"system:node:{HOSTNAME}", "system:nodes", (HOSTNAME, topology.NODE_IPV4, topology.NODE_IPV6)),
    Subject("kube-controller-manager", "system:kube-controller-manager"),
    Subject("kube-scheduler", "system:kube-scheduler"),
    Subject("kube-proxy", "system:kube-proxy"),
    Subject("coredns", "system:coredns"),
    Subject("service-account", "service-account"),
    Subject("tls-front", CLUSTER.node, hosts=(topology.NODE_IPV4, topology.NODE_IPV6)),
)
"""Everyone in the lab who shows a certificate, and the key that service accounts' tokens are signed with."""
