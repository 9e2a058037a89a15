"""Do two training runs have the same losses? For refactors, restarts and other numbers of processes.

    python bench/loss_compare.py A B [--tolerance 1e-5]

A and B are run folders or their log.csv files. Prints the largest difference of every value and where it is; exits 0
when all steps and values are there in both and differ by at most the tolerance (0: bit-identical), else 1.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

Log = dict[str, dict[int, float]]


def read(path: Path) -> Log:
    """Values by name and step."""
    file = path / "log.csv" if path.is_dir() else path
    try:
        with file.open(newline="") as opened:
            rows = list(csv.reader(opened))
    except OSError as error:
        sys.exit(f"{file} cannot be read: {error.strerror}")
    if not rows or rows[0][:1] != ["step"]:
        sys.exit(f"{file} is no log of a training run: its first line must begin with step.")
    log: Log = {name: {} for name in rows[0][1:]}
    for row in rows[1:]:
        for name, cell in zip(log, row[1:], strict=False):
            if cell:
                log[name][int(row[0])] = float(cell)
    return log


def compare(a: Log, b: Log, tolerance: float) -> list[str]:
    """One line for each value; lines that begin with DIFFERENT are failures."""
    lines = [f"DIFFERENT  {name}: only in {'A' if name in a else 'B'}" for name in sorted(a.keys() ^ b.keys())]
    for name in (name for name in a if name in b):
        only = sorted(a[name].keys() ^ b[name].keys())
        if only:
            lines.append(f"DIFFERENT  {name}: {len(only)} steps are in one log alone, the first is {only[0]}")
        gaps = {step: abs(a[name][step] - b[name][step]) for step in a[name].keys() & b[name].keys()}
        if not gaps:
            continue
        worst = max(gaps, key=lambda step: (gaps[step], -step))
        word = "same     " if gaps[worst] <= tolerance else "DIFFERENT"
        lines.append(f"{word}  {name}: {len(gaps)} steps, largest difference {gaps[worst]:.3g} at step {worst}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a", type=Path)
    parser.add_argument("b", type=Path)
    parser.add_argument("--tolerance", type=float, default=1e-5)
    args = parser.parse_args()
    lines = compare(read(args.a), read(args.b), args.tolerance)
    print("\n".join(lines))
    sys.exit(1 if not lines or any(line.startswith("DIFFERENT") for line in lines) else 0)


if __name__ == "__main__":
    main()
