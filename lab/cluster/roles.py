"""Names that the cluster's parts share, and who shows which certificate."""

from lab.cluster.node import HOSTNAME
from lab.cluster.pki import Identity
from lab.network import topology

API_SERVER = f"https://{topology.NODE_IPV4}:6443"
CLUSTER_DOMAIN = "cluster.local"

IDENTITIES = (
    Identity(
        "kube-apiserver",
        "kube-apiserver",
        hosts=(
            topology.NODE_IPV4,
            topology.NODE_IPV6,
            "127.0.0.1",
            "10.96.0.1",
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            f"kubernetes.default.svc.{CLUSTER_DOMAIN}",
        ),
    ),
    Identity("kube-apiserver-kubelet-client", "kube-apiserver-kubelet-client", "system:masters"),
    Identity("front-proxy-client", "front-proxy-client"),
    Identity("admin", "meshgate-lab-admin", "system:masters"),
    Identity("node", f"system:node:{HOSTNAME}", "system:nodes", (HOSTNAME, topology.NODE_IPV4, topology.NODE_IPV6)),
    Identity("kube-controller-manager", "system:kube-controller-manager"),
    Identity("kube-scheduler", "system:kube-scheduler"),
    Identity("kube-proxy", "system:kube-proxy"),
    Identity("coredns", "system:coredns"),
    Identity("service-account", "service-account"),
    Identity("tls-front", topology.NODE_IPV4, hosts=(topology.NODE_IPV4, topology.NODE_IPV6)),
)
"""Everyone in the lab who shows a certificate, and the key that service accounts' tokens are signed with."""
