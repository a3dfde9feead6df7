"""Whether a program runs without libraries of the machine that it was built on."""

import struct
from pathlib import Path

_HEADER = struct.Struct("<16sHHIQQQIHHH")
"""The start of a 64-bit little-endian ELF file, up to the size and number of its program headers."""

_INTERPRETER = 3
"""The type of the program header that names a dynamic loader."""


def is_static(program: Path) -> bool:
    """Say whether it is an ELF file that asks for no dynamic loader; a script is not."""
    with program.open("rb") as file:
        start = file.read(_HEADER.size)
        if len(start) < _HEADER.size or not start.startswith(b"\x7fELF\x02\x01"):
            return False
        *_, offset, _sections, _flags, _size, entry_size, entries = _HEADER.unpack(start)
        file.seek(offset)
        headers = file.read(entry_size * entries)
    types = (struct.unpack_from("<I", headers, number * entry_size)[0] for number in range(entries))
    return _INTERPRETER not in types
