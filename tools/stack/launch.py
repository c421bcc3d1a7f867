"""Runs one program as its own replacement: `python -I -S launch.py OPTIONS -- COMMAND…`. Standard library only.

--signal-with-parent NAME PID   the kernel sends this signal when the parent (whose id must be PID) dies (Linux)
--user UID                      gives root up for this user; what root could read and write stays readable and writable
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG, _PR_SET_KEEPCAPS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 1, 8, 47, 2
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2
_LINUX_CAPABILITY_VERSION_3 = 0x20080522


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def become(uid: int) -> None:
    """PostgreSQL refuses to run as root. Its new user keeps one right of root's, to pass by file modes:
    the environment and the state folder may lie below a folder that only root can enter."""
    libc = _libc()
    _check(libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0), "prctl(PR_SET_KEEPCAPS)")
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    bits = 1 << _CAP_DAC_OVERRIDE | 1 << _CAP_DAC_READ_SEARCH
    header = (ctypes.c_uint32 * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
    # effective, permitted, inheritable; the second triple holds the capabilities above 31
    sets = (ctypes.c_uint32 * 6)(bits, bits, bits, 0, 0, 0)
    if libc.capset(header, sets) != 0:
        return  # a container without these rights: file modes decide, and the program says what it cannot read
    for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
        libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def die_with_parent(name: str, parent: int) -> None:
    if sys.platform == "linux":
        _check(_libc().prctl(_PR_SET_PDEATHSIG, signal.Signals[name].value, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before the line above
        sys.exit(1)


def main(arguments: list[str]) -> None:
    options, command = arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]
    if "--user" in options:
        become(int(options[options.index("--user") + 1]))
    if "--signal-with-parent" in options:  # after the change of user, which clears it
        at = options.index("--signal-with-parent")
        die_with_parent(options[at + 1], int(options[at + 2]))
    os.execv(command[0], command)  # noqa: S606  # to be that program is what this one is for


if __name__ == "__main__":
    main(sys.argv[1:])
