"""The declared minimum versions, installed and tested: `python -m tests.minimum [--venv FOLDER] [pytest's arguments]`.

Reads the lower bounds from pyproject.toml, installs exactly those into a virtual environment of its own, and runs the
tests there, but those that hold the codecs against other implementations, which ask for later versions themselves.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: What needs no oracle.
TESTS = ("-n", "2", "-q", "tests", "--ignore=tests/formats/oracles", "--ignore=tests/integration")


def minimum_versions() -> list[str]:
    """`name==version` of every dependency, at its lower bound."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    bounds = [re.fullmatch(r"([\w-]+)>=([\d.]+)", each) for each in project["dependencies"]]
    if not all(bounds):
        raise ValueError("a dependency of pyproject.toml has no lower bound that can be installed")
    return [f"{bound[1]}=={bound[2]}" for bound in bounds if bound]


def main() -> int:
    """Install, say what was installed, test."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--venv", type=Path, help="where the environment is made, and kept; a temporary one otherwise"
    )
    given, arguments = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        place = given.venv or Path(folder)
        venv.create(place, with_pip=True)
        python = str(place / ("Scripts" if os.name == "nt" else "bin") / "python")
        versions = minimum_versions()
        print("minimum versions:", *versions, flush=True)
        subprocess.run(
            [python, "-m", "pip", "install", "-q", *versions, "hypothesis", "-e", str(ROOT)], check=True
        )
        return subprocess.run(
            [python, "-m", "pytest", *(arguments or TESTS)], cwd=ROOT, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
