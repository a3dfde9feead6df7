"""Run one of the data plane's own tools (wg, ip, nft): an argument list in, its output out."""

import asyncio
import os

DEADLINE_S = 10.0
"""No single call takes this long: 10,000 peers are read in 0.2 s."""


class CommandError(Exception):
    """A tool failed or did not end in time; the text names the tool and what it said."""


async def run(*arguments: str, stdin: str = "") -> str:
    """Run a tool to its end and return its standard output.

    `stdin` may hold secrets: it is handed over in anonymous memory, which the tool can also open by the name
    /dev/stdin, and appears neither on a disk nor in a process list.

    Raises CommandError when the tool is missing, ends with an error or does not end.
    """
    memory = os.memfd_create("stdin", os.MFD_CLOEXEC)
    try:
        os.write(memory, stdin.encode())
        os.lseek(memory, 0, os.SEEK_SET)
        process = await asyncio.create_subprocess_exec(
            *arguments, stdin=memory, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    except OSError as error:
        raise CommandError(f"{arguments[0]} cannot be run: {error.strerror}") from error
    finally:
        os.close(memory)
    try:
        async with asyncio.timeout(DEADLINE_S):
            output, complaint = await process.communicate()
    except TimeoutError as error:
        raise CommandError(f"{arguments[0]} did not end within {DEADLINE_S:.0f} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        said = complaint.decode(errors="replace").strip().splitlines()
        raise CommandError(f"{arguments[0]} failed: {said[0] if said else f'exit code {process.returncode}'}")
    return output.decode()
