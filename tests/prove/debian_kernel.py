"""A command by Debian's own kernel, which has what this machine's may lack: QEMU emulates a machine for it.

That machine's root is this one's, read only. What the command writes goes with it, but for its output.
"""

import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from console.progress import step
from console.run import run as run_tool
from lab import paths
from lab.images import debian_root
from lab.tools import cache, debian_packages

_PACKAGES = ("--variant=extract", "--include=linux-image-amd64,busybox-static")
_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
"""What the machine needs to see this one's root, and to write nothing to it. The rest the kernel finds there."""

_INIT = """\
#!/busybox sh
busybox() {{ /busybox "$@"; }}
for module in /modules/*; do busybox insmod "$module"; done
busybox mkdir -p /lower /upper /root
busybox mount -t 9p -o trans=virtio,version=9p2000.L,cache=loose,msize=512000,ro host /lower
busybox mount -t tmpfs tmpfs /upper
busybox mkdir /upper/new /upper/work
busybox mount -t overlay -o lowerdir=/lower,upperdir=/upper/new,workdir=/upper/work overlay /root
busybox mount -t proc proc /root/proc
busybox mount -t sysfs sysfs /root/sys
busybox mount -t devtmpfs devtmpfs /root/dev
busybox ln -s /proc/self/fd /root/dev/fd
busybox ln -s fd/0 /root/dev/stdin
busybox mount -t tmpfs tmpfs /root/run
busybox mkdir -p /root/lib/modules
busybox ln -s {modules} /root/lib/modules/
# The kernel looks for modprobe where its first process is.
exec /busybox chroot /root /bin/sh -c {command}
"""
_ENDED = "the command has ended with"
_COMMAND = f"""\
env -i {{command}}
echo "{_ENDED} $?"
echo b > /proc/sysrq-trigger
"""


def run(command: Sequence[str], environment: Mapping[str, str], directory: Path, within_s: float) -> str:
    """Run a command that must succeed; its output, with the kernel's."""
    debian_packages.ensure()
    debian_packages.ensure_for_tests("qemu-system-x86")
    debian = cache.keep(
        paths.cache() / "kernels" / cache.fingerprint(debian_root.SUITE, *debian_root.OPTIONS, *_PACKAGES), _bootstrap
    )
    (kernel,) = (debian / "boot").glob("vmlinuz-*")
    log = directory / "kernel.log"
    run_tool(
        [
            *("qemu-system-x86_64", "-machine", "pc", "-cpu", "max", "-smp", "2", "-m", "2G"),
            *("-accel", "tcg,thread=multi", "-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"),
            *("-kernel", kernel, "-initrd", _initial_root(debian, kernel, command, environment, directory)),
            *("-append", "console=ttyS0 quiet no_timer_check mitigations=off panic=-1 reboot=t"),
            *("-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap"),
            *("-device", "virtio-9p-pci,fsdev=root,mount_tag=host"),
        ],
        doing="run a command by Debian's kernel",
        log=log,
        deadline_seconds=within_s,
    )
    said = log.read_text(errors="replace")
    assert f"{_ENDED} 0" in said, said[-8000:]
    return said


def _bootstrap(target: Path) -> None:
    with step("Unpack Debian's kernel", expected_seconds=60):
        debian_root.bootstrap(target, *_PACKAGES)
    (kernel,) = (target / "boot").glob("vmlinuz-*")
    subprocess.run(["depmod", "--basedir", target, _version(kernel)], check=True)


def _version(kernel: Path) -> str:
    return kernel.name.removeprefix("vmlinuz-")


def _initial_root(
    debian: Path, kernel: Path, command: Sequence[str], environment: Mapping[str, str], directory: Path
) -> Path:
    """An archive with what the kernel starts."""
    root = directory / "initial-root"
    (root / "modules").mkdir(parents=True)
    for number, module in enumerate(_needed_modules(debian, kernel)):
        shutil.copy(module, root / "modules" / f"{number:02}-{module.name}")
    shutil.copy(debian / "bin/busybox", root)
    words = [*(f"{name}={value}" for name, value in environment.items()), *command]
    modules = debian / "lib/modules" / _version(kernel)
    init = root / "init"
    init.write_text(_INIT.format(modules=modules, command=shlex.quote(_COMMAND.format(command=shlex.join(words)))))
    init.chmod(0o755)
    archive = directory / "initial-root.cpio"
    names = "\n".join(str(one.relative_to(root)) for one in root.rglob("*"))
    packed = subprocess.run(
        [root / "busybox", "cpio", "-o", "-H", "newc"],
        cwd=root,
        input=names.encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    archive.write_bytes(packed.stdout)
    return archive


def _needed_modules(debian: Path, kernel: Path) -> Iterator[Path]:
    """The modules' files, each after those that it needs."""
    of_this = ("modprobe", "--dirname", debian, "--set-version", _version(kernel))
    seen: set[str] = set()
    for module in _MODULES:
        shown = subprocess.run([*of_this, "--show-depends", module], capture_output=True, text=True, check=True).stdout
        for line in shown.splitlines():
            file = line.split()[1]
            if line.startswith("insmod") and file not in seen:
                seen.add(file)
                yield Path(file)
