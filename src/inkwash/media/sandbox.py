"""What a process that decodes files of strangers may use: memory, processor time, no network, no core dumps.

Memory and time are limits of the system (`setrlimit`). On Linux a filter of system calls (seccomp) refuses every
socket but those within the machine (AF_UNIX), for FFmpeg, PDFium and LibreOffice alike; elsewhere the decoders'
own allow-lists have to do.
"""

from __future__ import annotations

import contextlib
import ctypes
import platform
import struct
import sys

_FILTERS = {"x86_64": (0xC000003E, 41, 53), "aarch64": (0xC00000B7, 198, 199)}  # architecture, socket, socketpair
_IO_URING_SETUP = 425  # the same everywhere; its sockets would pass the filter by
_X32 = 0x40000000  # calls from here on are those of another interface of the same processor
_AF_UNIX = 1
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 13  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO | EACCES
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _MODE_FILTER = 22, 38, 2


def limit_memory(size: int) -> None:
    """At most `size` bytes of data (Linux) or address space for this process, and no core dumps."""
    import resource

    which = resource.RLIMIT_DATA if sys.platform.startswith("linux") else resource.RLIMIT_AS
    with contextlib.suppress(ValueError, OSError):  # macOS knows the limit and refuses to set it
        resource.setrlimit(which, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_processor(seconds: float) -> None:
    """At most so many more seconds of all processors together; the system ends the process after them."""
    import resource

    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime + seconds) + 1, hard))


def forbid_network() -> bool:
    """Refuse sockets of every family but AF_UNIX to this process and its children; False where that is unknown."""
    known = _FILTERS.get(platform.machine())
    if not sys.platform.startswith("linux") or known is None:
        return False
    architecture, make_socket, make_pair = known
    program = [
        (0x20, 0, 0, 4),  # load the architecture
        (0x15, 0, 8, architecture),  # another one: refuse
        (0x20, 0, 0, 0),  # load the number of the call
        (0x35, 6, 0, _X32),
        (0x15, 5, 0, _IO_URING_SETUP),
        (0x15, 1, 0, make_socket),
        (0x15, 0, 2, make_pair),  # any other call: allow
        (0x20, 0, 0, 16),  # load the first argument, the family
        (0x15, 0, 1, _AF_UNIX),
        (0x06, 0, 0, _ALLOW),
        (0x06, 0, 0, _REFUSE),
    ]
    code = b"".join(struct.pack("<HBBI", *line) for line in program)
    held = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    rules = Program(len(program), ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return False
    return libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(rules), 0, 0) == 0


def give_back_memory() -> None:
    """Return what the C library keeps for later to the system; nothing where it has no such call."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def resident_bytes() -> int:
    """Memory of this process that lies in RAM; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[1])
    except OSError:
        return 0
    import resource

    return pages * resource.getpagesize()
