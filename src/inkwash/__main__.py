"""`python -m inkwash` and the `inkwash` command: hands over to the command line."""

from __future__ import annotations

import os
import sys

INTERRUPTED = 130

# Threads that wait by spinning burn the cores that other processes need, and their own: on two shared cores one
# picture took 16 to 40 s of CPU time instead of 5. Read by OpenMP when torch is loaded. Its GNU form spins for some
# tens of microseconds first: without that, both threads woke on one core, and a second one gained nothing.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "2000")


def main() -> None:
    """The program: its exit code is what the command line returns."""
    try:
        from inkwash.cli.app import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # so early that not even the command line was there
        code = INTERRUPTED
    if code == INTERRUPTED:  # nothing is left to do, and an orderly end of a loaded torch takes its time
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
