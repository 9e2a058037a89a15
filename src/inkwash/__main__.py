"""``python -m inkwash`` and the ``inkwash`` command: hands over to the command line."""

from __future__ import annotations

import sys


def main() -> None:
    from inkwash.cli.app import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
