"""Which programs the lab builds from Go modules, at which versions, and which of a user's own it takes."""

from dataclasses import dataclass

from console import programs, pulumi_cli


@dataclass(frozen=True)
class Own:
    """How a user's own copy of a tool is recognised: `arguments` make it print its version."""

    arguments: tuple[str, ...]
    at_least: programs.Version
    below: programs.Version


@dataclass(frozen=True)
class Tool:
    """A program and its pinned source.

    `module` is a directory below lab/go, `package` what to build there. `seconds` is the time of a cold
    build on 2 cores, after the tools that `LAB` names before it. `variables` are set by the linker,
    `aliases` are further names of the same binary. A tool without `own` is always built: nobody installs
    it the way it is needed here, or it does not tell its version.
    """

    name: str
    version: str
    module: str
    package: str
    seconds: int
    tags: str = ""
    variables: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    own: Own | None = None


PULUMI = Tool(
    name="pulumi",
    version="3.259.0",
    module="workspace/pulumi",
    package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
    seconds=190,
    variables=("github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v3.259.0",),
    own=Own(("version",), pulumi_cli.AT_LEAST, pulumi_cli.BELOW),
)
PULUMI_LANGUAGE_PYTHON = Tool(
    # The last version in which the language host is part of the SDK's module; it runs programs
    # of today's SDK. A user's own is none of its own: it comes with their Pulumi (lab.pulumi.pulumi_host).
    name="pulumi-language-python",
    version="3.78.0",
    module="pulumi-language-python",
    package="github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python",
    seconds=35,
)


def _headscale(version: str, seconds: int) -> Tool:
    """That very version: the one that an image's tag says, or that a test is about."""
    major, minor, patch = map(int, version.split("."))
    return Tool(
        name="headscale",
        version=version,
        module=f"headscale-{version}",
        package="github.com/juanfont/headscale/cmd/headscale",
        seconds=seconds,
        own=Own(("version",), at_least=(major, minor, patch), below=(major, minor, patch + 1)),
    )


HEADSCALE = _headscale("0.29.3", 130)
HEADSCALE_0_23 = _headscale("0.23.0", 100)
"""Only for tests: June runs this one."""
HEADSCALES = (
    HEADSCALE_0_23,
    *(_headscale(version, 100) for version in ("0.25.1", "0.26.1", "0.27.1", "0.28.0")),
    HEADSCALE,
)
"""Those that are served, oldest first: one of each form that the API has had. `make prove` runs all of them."""
_TAILSCALE_VERSION = (
    "tailscale.com/version.shortStamp=1.102.3",
    "tailscale.com/version.longStamp=1.102.3",
)
TAILSCALED = Tool(
    # One binary that is both: it acts as the client when it is called `tailscale`. The image needs it so, hence
    # nothing would be saved by a user's own, which are two.
    name="tailscaled",
    version="1.102.3",
    module="workspace/tailscale",
    package="tailscale.com/cmd/tailscaled",
    seconds=130,
    tags="ts_include_cli",
    variables=_TAILSCALE_VERSION,
    aliases=("tailscale",),
)
CONTAINERBOOT = Tool(
    # It does not tell its version: called in any way, it starts.
    name="containerboot",
    version="1.102.3",
    module="workspace/tailscale",
    package="tailscale.com/cmd/containerboot",
    seconds=10,
    variables=_TAILSCALE_VERSION,
)
KUBE = Tool(
    # Every component and kubectl; the last minor version that runs on cgroup v1.
    name="kube",
    version="1.34.3",
    module="workspace/kubernetes",
    package=".",
    seconds=400,
    variables=(
        "k8s.io/component-base/version.gitVersion=v1.34.3",
        "k8s.io/component-base/version.gitMajor=1",
        "k8s.io/component-base/version.gitMinor=34",
    ),
    aliases=("kubectl",),
)
COREDNS = Tool(
    name="coredns",
    version="1.14.1",
    module="workspace/coredns",
    package=".",
    seconds=12,
    own=Own(("-version",), at_least=(1, 10, 0), below=(2, 0, 0)),
)
WIREGUARD_GO = Tool(
    name="wireguard-go",
    version="0.0.0-20260522210424-ecfc5a8d5446",
    module="wireguard-go",
    package="golang.zx2c4.com/wireguard",
    seconds=3,
    # It prints its latest tag. Debian 12's is of 2022 and eight times slower.
    own=Own(("--version",), at_least=(0, 0, 20250522), below=(0, 1, 0)),
)
VERSITYGW = Tool(
    # Only for the contract tests: an S3 server that keeps a stack's state.
    name="versitygw",
    version="1.8.0",
    module="versitygw",
    package="github.com/versity/versitygw/cmd/versitygw",
    seconds=60,
    own=Own(("--version",), at_least=(1, 8, 0), below=(1, 9, 0)),
)
ACTIONLINT = Tool(
    # Only for the contract tests: it reads the workflows as GitHub would.
    name="actionlint",
    version="1.7.12",
    module="actionlint",
    package="github.com/rhysd/actionlint/cmd/actionlint",
    seconds=10,
    variables=("github.com/rhysd/actionlint.version=v1.7.12",),
    own=Own(("-version",), at_least=(1, 7, 7), below=(2, 0, 0)),
)

LAB = (KUBE, COREDNS, TAILSCALED, WIREGUARD_GO, CONTAINERBOOT, HEADSCALE, PULUMI_LANGUAGE_PYTHON, PULUMI)
"""What `up` needs, in the order in which it first waits for each."""
