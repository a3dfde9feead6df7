"""The worker's parts: container runtime, kubelet, services and names; which program, with which flags and files."""

import json
from pathlib import Path

import yaml

from lab import paths
from lab.cluster.node import HOSTNAME
from lab.cluster.pki import Pki, kubeconfig
from lab.cluster.roles import API_SERVER, CLUSTER_DOMAIN
from lab.network.addresses import CLUSTER
from lab.processes import cgroups
from lab.processes.supervision import Part

CONTAINERD_SOCKET = paths.RUN / "containerd.sock"


def containerd(pause_image: str) -> Part:
    """The container runtime, with directories and a socket of its own."""
    networks = paths.CONFIG / "cni"
    conflist = {
        "cniVersion": "1.0.0",
        "name": "lab",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "pods",
                "isGateway": True,
                "ipMasq": True,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": network}] for network in CLUSTER.pods],
                    "routes": [{"dst": "::/0" if ":" in network else "0.0.0.0/0"} for network in CLUSTER.pods],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
            # A pod inherits IPv4 settings from the machine's first namespace. On a user's node that is
            # the node, which forwards; the lab's node is not, and leaves the machine's as they are.
            {"type": "tuning", "sysctl": {"net.ipv4.ip_forward": "1"}},
        ],
    }
    config = f"""\
version = 2
root = "{paths.containerd()}"
state = "/run/containerd"

[grpc]
address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.internal.v1.opt"]
path = "{paths.STATE / "containerd-opt"}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause_image}"
restrict_oom_score_adj = true
disable_apparmor = true
disable_hugetlb_controller = true

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{networks}"
"""
    path = paths.CONFIG / "containerd.toml"
    return Part(
        "containerd",
        ["containerd", f"--config={path}"],
        files={path: config, networks / "lab.conflist": json.dumps(conflist, indent=2)},
    )


def kubelet(kube: Path, pki: Pki) -> Part:
    """The node's agent. It is not the machine's: its control groups are the lab's own."""
    resolv_conf = paths.CONFIG / "resolv.conf"
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": CLUSTER.node,
        "healthzBindAddress": CLUSTER.node,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki.ca)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pki.certificate("node")),
        "tlsPrivateKeyFile": str(pki.key("node")),
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "clusterDNS": [CLUSTER.node],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": str(resolv_conf),
        "volumePluginDir": str(paths.CONFIG / "volume-plugins"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroups.NAME}",
        "failCgroupV1": False,
        "enforceNodeAllocatable": [],
        "localStorageCapacityIsolation": False,
        "oomScoreAdj": 0,
        "failSwapOn": False,
        "allowedUnsafeSysctls": ["net.*"],
        "serializeImagePulls": False,
        # A changed Secret is in its pod within seconds. A minute, the default, is for nodes with many pods.
        "syncFrequency": "5s",
        # A full disk of the user's is no reason to evict the lab.
        "evictionHard": {"memory.available": "100Mi"},
        "imageGCHighThresholdPercent": 100,
    }
    config_path = paths.CONFIG / "kubelet.yaml"
    kubeconfig_path = paths.CONFIG / "kubelet.kubeconfig"
    return Part(
        "kubelet",
        [
            kube,
            "kubelet",
            f"--config={config_path}",
            f"--kubeconfig={kubeconfig_path}",
            f"--hostname-override={HOSTNAME}",
            f"--node-ip={','.join(CLUSTER.nodes)}",
            f"--root-dir={paths.STATE / 'kubelet'}",
        ],
        files={
            config_path: yaml.safe_dump(config),
            kubeconfig_path: kubeconfig(pki, "node", API_SERVER),
            resolv_conf: f"nameserver {CLUSTER.node}\n",
        },
    )


def kube_proxy(kube: Path, pki: Pki) -> Part:
    """Services. Connection tracking is the whole machine's: its size is left alone."""
    path = paths.CONFIG / "kube-proxy.kubeconfig"
    return Part(
        "kube-proxy",
        [
            kube,
            "kube-proxy",
            f"--kubeconfig={path}",
            f"--hostname-override={HOSTNAME}",
            "--proxy-mode=iptables",
            f"--cluster-cidr={','.join(CLUSTER.pods)}",
            "--conntrack-max-per-core=0",
            f"--healthz-bind-address={CLUSTER.host}:10256",
        ],
        files={path: kubeconfig(pki, "kube-proxy", API_SERVER)},
    )


def coredns(program: Path, pki: Pki) -> Part:
    """The cluster's names; every other name does not exist, since the lab knows no outside."""
    kubeconfig_path = paths.CONFIG / "coredns.kubeconfig"
    corefile = f"""\
{CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{
    errors
    ready {CLUSTER.host}:8181
    kubernetes {{
        kubeconfig {kubeconfig_path} lab
        ttl 5
    }}
}}
. {{
    errors
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""
    path = paths.CONFIG / "Corefile"
    return Part(
        "coredns",
        [program, f"-conf={path}"],
        files={path: corefile, kubeconfig_path: kubeconfig(pki, "coredns", API_SERVER)},
    )
