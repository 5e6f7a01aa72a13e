"""Tries readers with hostile input: `python -m tests.hostile --help`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.hostile.mutation import case
from tests.hostile.run import keep, run
from tests.hostile.targets import TARGETS, workplace


def main() -> None:
    """Run what was asked for; exit status 1 where a case failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("target", nargs="*", help=", ".join(TARGETS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, help="of each target; else as many as CI tries, times --scale")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--case", type=int, help="this one alone, here and unbounded")
    parser.add_argument("--file", type=Path, help="the bytes of this file alone, here and unbounded")
    parser.add_argument("--guided", type=int, metavar="SECONDS", help="guided by coverage; needs the extra `fuzz`")
    given = parser.parse_args()
    names = given.target or [name for name, target in TARGETS.items() if target.cases]
    if given.guided:
        from tests.hostile.guided import guide

        sys.exit(max(guide(name, given.seed, given.guided) for name in names))
    if given.case is not None or given.file is not None:
        target = TARGETS[names[0]]
        data = (
            given.file.read_bytes()
            if given.file
            else case(target.name, given.seed, given.case, target.seeds, target.words, target.repair)
        )
        with workplace() as folder:
            read, allowed = target.load(Path(folder))
            try:
                print(f"{len(data)} bytes are read: {read(data)!r:.200}")
            except allowed as error:
                print(f"{len(data)} bytes are refused: {error}")
        return
    failed = False
    for side in sorted({TARGETS[name].side for name in names}, reverse=True):
        own = [name for name in names if TARGETS[name].side == side]
        counts = {name: given.cases or int(TARGETS[name].cases * given.scale) for name in own}
        for outcome in run(given.seed, counts):
            print(outcome, flush=True)
            for said in keep(outcome, given.seed):
                failed = True
                print(said, file=sys.stderr)
    sys.exit(failed)


if __name__ == "__main__":
    main()
