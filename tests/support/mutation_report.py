"""Report of ``make mutate``: the score, and each survivor with the reason why no test kills it.

``mutmut results --all true | python -m tests.support.mutation_report`` exits with 1 if the score is below ``FLOOR``
%, if a survivor has no line in the list of survivors, or if a line of it names none: the numbers of mutants change
with their function, and a reason belongs to one mutant. Whatever is not killed counts as a survivor: also a mutant that
no test reaches, and one whose tests took too long, which on a busy machine shows no fault.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

from tests.support.paths import ROOT

FLOOR = 85.0
SURVIVORS = ROOT / "tests" / "mutation_survivors.txt"


def parse(lines: Iterable[str]) -> dict[str, str]:
    """Return the text by name of lines ``name: text``, without blank lines and comments (#)."""
    pairs = (line.partition(":") for line in map(str.strip, lines) if line and not line.startswith("#"))
    return {name.strip(): text.strip() for name, _, text in pairs}


def report(statuses: Mapping[str, str], reasons: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return the lines of the report, and those of its faults; ``statuses`` and ``reasons`` are by name of a mutant."""
    survivors = {name: status for name, status in sorted(statuses.items()) if status != "killed"}
    score = 100 * (len(statuses) - len(survivors)) / max(len(statuses), 1)
    lines = [f"{name}: {status}: {reasons.get(name) or 'NO REASON'}" for name, status in survivors.items()]
    lines.append(f"{len(statuses)} mutants, {len(survivors)} survived: score {score:.1f} % (at least {FLOOR:.0f} %)")
    faults = [f"{name}: kill it by a test, or give its reason (mutmut show NAME)"
              for name in survivors if not reasons.get(name)]  # fmt: skip
    faults += [f"{name}: no survivor has this name; remove its reason" for name in sorted(reasons.keys() - survivors)]
    if score < FLOOR:
        faults.append(f"the score is below {FLOOR:.0f} %")
    return lines, faults


def main() -> int:
    """Print the report of the results in standard input; return the exit status."""
    lines, faults = report(parse(sys.stdin), parse(SURVIVORS.read_text("utf-8").splitlines()))
    print(*lines, *(f"FAULT: {fault}" for fault in faults), sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
