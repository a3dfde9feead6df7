"""The lab from the cold to its end: what `up` and `down` do, step by step."""

import os
import shutil

from console.errors import StepError
from console.progress import console, step
from lab import drift, giving_back, paths, preflight
from lab.cluster import image_import, node, parts, startup
from lab.images import archives, buildah, recipes
from lab.machines import metal
from lab.mesh import june, peer
from lab.network import addresses, topology
from lab.processes import daemon, marker
from lab.pulumi import lab_settings, pulumi_host
from lab.pulumi.stack import Stack
from lab.tools import debian_packages, go_builds, pinned_tools

COLD_SECONDS = 120
"""A run that builds for longer than this is announced before it starts."""

_SURVIVES_FRESH = (paths.PULUMI_HOME, paths.PULUMI)
"""Kept by `fresh`: plugins are slow to get and no state of a cluster."""


def require_root() -> None:
    """Refuse to start without the rights that namespaces and mounts need."""
    if os.geteuid() != 0:
        raise StepError("The lab makes network namespaces and mounts, which needs root: run it with sudo.")


def up(*, fresh: bool = False) -> None:
    """Make everything and bring it to life; keep what is there, but with `fresh` no state.

    Tools take the longest, so they are built while all goes on that does not need them yet.
    """
    preflight.check()
    _announce()
    with go_builds.ahead(*pinned_tools.LAB):
        debian_packages.ensure()
        built = archives.ensure(recipes.without_tools())
        programs = parts.Programs(
            kube=go_builds.resolve(pinned_tools.KUBE),
            coredns=go_builds.resolve(pinned_tools.COREDNS),
            tailscaled=go_builds.resolve(pinned_tools.TAILSCALED),
        )
        go_builds.resolve(pinned_tools.WIREGUARD_GO)
        if fresh:
            with step("Forget the cluster's state"):
                forget()
        addresses.keep()
        images = {image.name: image for image in built}
        startup.up(programs, images["pause"].reference, lambda: image_import.load(built))
        with step("Install June's orchestrator"):
            june.apply(images["meshgate/orchestrator"].reference)
        built = archives.ensure(recipes.with_tools())
        image_import.load(built)
        images |= {image.name: image for image in built}
        stack = Stack(pulumi_host.find())
    ca_certificate = startup.PKI.ca.read_text()
    facts = lab_settings.Facts(
        ca_certificate=ca_certificate,
        gateway_image=images["meshgate/gateway"].reference,
        tailscale_image=images["tailscale/tailscale"].reference,
        headscale_image=images["headscale/headscale"].reference,
    )
    stack.prepare(lab_settings.complete(facts))
    known = _converge(stack)
    with step("Let the mesh peer join"):
        peer.join(programs.tailscaled.with_name("tailscale"), ca_certificate)
    with step("Wait for June's orchestrator"):
        june.wait()
    drift.remember({**known, **drift.look(stack)})


def _converge(stack: Stack) -> drift.Seen:
    """Run the stack, from the truth where somebody changed something; return what could not be looked at."""
    with step("Look for what has changed since the last `pulumi up`") as current:
        before, now = drift.remembered(), drift.look(stack)
        found = drift.found(before, now)
        current.now(", ".join(urn.rpartition("::")[2] for urn in found.objects) or ("" if found else "nothing"))
        if found.objects:
            # First and alone: what else there is may be out of reach until these are there again.
            stack.refresh(found.objects)
    if found or june.lacks():
        with step("Run `pulumi up` of the stack lab") as current:
            stack.up(current.now, refresh=found.elsewhere)
            if june.lacks():
                stack.up(current.now, refresh=True)
            current.now("")
    if lacking := june.lacks():
        raise StepError(f"The orchestrator did not get {', '.join(lacking)} from the stack.", stack.log)
    return {name: was for name, was in before.items() if name == drift.HEADSCALE and name not in now}


def down(*, caches: bool = False) -> None:
    """End everything of the lab and remove its files, with `caches` also what was built."""
    with step("End the lab"):
        _end()
        if paths.STATE.exists():
            shutil.rmtree(paths.STATE)
        buildah.remove_traces()
    if caches:
        with step("Give back what the lab changed on this machine"):
            stays = giving_back.give_back()
        if paths.cache().exists():
            with step("Remove the caches"):
                shutil.rmtree(paths.cache())
        for line in stays:
            console.print(line, markup=False)


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
    topology.down()


def _announce() -> None:
    """Say how long it will take, when that is long."""
    seconds = go_builds.cold_seconds(*pinned_tools.LAB) + archives.cold_seconds()
    if seconds > COLD_SECONDS:
        console.print(
            f"This takes about {round(seconds / 60)} minutes on 2 cores: tools and images are built here, once."
        )
