"""Whether two runs gave the same records: every field but the time.

    pytest -m lowbit -n auto --quantgate-report before    # on one commit, then `after` on another
    python -m tests.benchmarks.records before after

Ends with 1 and names the first fields that differ, where any does. Both runs must come from the same machine.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from quantgate.reports.results import FILE_NAME

#: What no two runs have in common.
TIME = "seconds"


def records(folder: Path) -> dict[str, dict[str, Any]]:
    """The records of a report folder by kind and canonical name."""
    lines = (folder / FILE_NAME).read_text("utf-8").splitlines()
    found = (each for each in map(json.loads, lines) if each["kind"] != "run")
    return {f"{each['kind']} {each['canon_name']} {each['storage']} {each['scope']}": each for each in found}


def differences(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> list[str]:
    """What differs between two runs, a line each: records that one lacks, fields that are not equal."""
    found = [f"{name}: in one of them only" for name in sorted(before.keys() ^ after.keys())]
    for name in sorted(before.keys() & after.keys()):
        old, new = before[name], after[name]
        fields = sorted(field for field in old.keys() | new.keys() if field != TIME)
        # As text: NaN is written null, and the order of keys counts too.
        found += [
            f"{name}: {field}" for field in fields if json.dumps(old.get(field)) != json.dumps(new.get(field))
        ]
    return found


def main() -> int:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("before", type=Path, help="report folder of one run")
    parser.add_argument("after", type=Path, help="report folder of the other")
    given = parser.parse_args()
    before, after = records(given.before), records(given.after)
    found = differences(before, after)
    print(f"{len(before)} and {len(after)} records, {len(found)} differences")
    print("\n".join(found[:20]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
