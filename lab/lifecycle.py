"""The lab from the cold to its end: what `up` and `down` do, step by step."""

import os
import shutil

from lab import (
    buildah,
    cluster,
    containerd,
    daemon,
    images,
    june,
    marker,
    metal,
    network,
    node,
    packages,
    parts,
    paths,
    peer,
    pulumi_host,
    recipes,
    settings,
    tools,
    worker,
)
from console.errors import StepError
from console.progress import console, step
from lab.stack import Stack

COLD_SECONDS = 120
"""A run that builds for longer than this is announced before it starts."""

_SURVIVES_FRESH = (worker.CONTAINERD_ROOT, paths.PULUMI_HOME, paths.PULUMI)
"""Kept by `fresh`: images and plugins are slow to get and no state of a cluster."""


def require_root() -> None:
    """Refuse to start without the rights that namespaces and mounts need."""
    if os.geteuid() != 0:
        raise StepError("The lab makes network namespaces and mounts, which needs root: run it with sudo.")


def up(*, fresh: bool = False) -> None:
    """Make everything and bring it to life; what is there already is kept, with `fresh` only what is no state."""
    _announce()
    packages.ensure()
    programs = parts.Programs(
        kube=tools.resolve(tools.KUBE),
        coredns=tools.resolve(tools.COREDNS),
        tailscaled=tools.resolve(tools.TAILSCALED),
    )
    tools.resolve(tools.WIREGUARD_GO)
    stack = Stack(pulumi_host.find())
    built = {image.name: image for image in images.ensure(recipes.cluster())}
    if fresh:
        with step("Forget the cluster's state"):
            forget()
    cluster.up(programs, built["pause"].reference, lambda: containerd.load(list(built.values())))
    with step("Install June's orchestrator"):
        june.apply(built["meshgate/orchestrator"].reference)
    ca_certificate = cluster.PKI.ca.read_text()
    facts = settings.Facts(
        ca_certificate=ca_certificate,
        gateway_image=built["meshgate/gateway"].reference,
        tailscale_image=built["tailscale/tailscale"].reference,
        headscale_image=built["headscale/headscale"].reference,
    )
    stack.prepare(settings.complete(facts))
    with step("Run `pulumi up` of the stack lab") as current:
        stack.up(current.now)
        current.now("")
    with step("Let the mesh peer join"):
        peer.join(programs.tailscaled.with_name("tailscale"), ca_certificate)


def down(*, caches: bool = False) -> None:
    """End everything of the lab and remove its files, with `caches` also what was built."""
    with step("End the lab"):
        _end()
        if paths.STATE.exists():
            shutil.rmtree(paths.STATE)
        buildah.remove_traces()
    if caches and paths.cache().exists():
        with step("Remove the caches"):
            shutil.rmtree(paths.cache())


def forget() -> None:
    """End the lab and remove the state of its cluster, mesh and stack."""
    _end()
    if not paths.STATE.exists():
        return
    for directory in (paths.STATE, paths.PULUMI):
        for entry in directory.iterdir() if directory.exists() else ():
            if entry in _SURVIVES_FRESH:
                continue
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()


def _end() -> None:
    """End every process, mount, control group and namespace of the lab."""
    marker.end_orphans()
    for one in daemon.daemons():
        one.stop()
    metal.down()
    node.stop()
    network.down()


def _announce() -> None:
    """Say how long it will take, when that is long."""
    seconds = tools.cold_seconds(*tools.LAB) + images.cold_seconds()
    if seconds > COLD_SECONDS:
        console.print(
            f"This takes about {round(seconds / 60)} minutes on 2 cores: tools and images are built here, once."
        )
