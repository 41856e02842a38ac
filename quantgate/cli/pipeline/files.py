"""The files that `quantgate init` begins a repository with, as text."""

from __future__ import annotations

import json
import re
import subprocess
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

from quantgate.records.version import __version__
from quantgate.subjects.paths import Target

CONFTEST, TEST, WORKFLOW = (
    Path("conftest.py"),
    Path("tests/test_lowbit.py"),
    Path(".github/workflows/lowbit.yml"),
)

_EXAMPLE = '''\
def example_int4(x):
    """An example to replace: int4 with one scale a tensor and a straight-through gradient."""
    scale = x.detach().abs().amax().clamp(min=1e-12) / 7
    return x + ((x / scale).round() * scale - x).detach()


quantgate.register_format("example_int4", example_int4, bits=4)
'''
#: The test file.
LEARNS = """\
def test_learns(lowbit_cell):  # one test for each format x optimizer
    lowbit_cell.assert_learns()
"""
_WORKFLOW = """\
# Fails a pull request in which a low-precision number format stops learning, and says why.
name: lowbit

on:
  push:
    branches: [main, master]
  pull_request:

permissions: {{}}

concurrency:
  group: lowbit-${{{{ github.event.pull_request.number || github.run_id }}}}
  cancel-in-progress: ${{{{ github.event_name == 'pull_request' }}}}

jobs:
  lowbit:
    name: lowbit
    runs-on: ubuntu-latest
    timeout-minutes: 30
    permissions:
      contents: read # checkout
    env:
      PIP_EXTRA_INDEX_URL: https://download.pytorch.org/whl/cpu # torch's CPU build
    steps:
      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1
        with:
          persist-credentials: false
      - uses: actions/setup-python@5fda3b95a4ea91299a34e894583c3862153e4b97 # v7.0.0
        with:
          python-version: "3.12"
      - name: Install
        run: pip install {install}
      - name: Gate
        run: python -m pytest -m lowbit -n auto --quantgate-report quantgate-report
      - name: Keep the report
        if: ${{{{ !cancelled() }}}}
        uses: actions/upload-artifact@043fb46d1a93c77aae656e7c1c64a875d1fc6a0a # v7.0.1
        with:
          name: quantgate-report
          path: quantgate-report/
          if-no-files-found: warn
"""


def registration(path: str | None, target: Target | None) -> str:
    """What a conftest says to register this subject; an example where none is named."""
    if path is None or target is None:
        return f"import quantgate\n\n\n{_EXAMPLE}"
    place, _, attribute = path.partition("@")[0].rpartition(":")
    module = place.rpartition(":")[2]
    first = attribute.partition(".")[0]
    short = re.sub(r"^(fake_?)?quant(ize)?_(?=.)", "", attribute.replace(".", "_"))
    name = f"{module.partition('.')[0]}_{short}"
    bits = "" if target.bits is None else f", bits={target.bits:g}"
    call = {
        "function": f'register_format("{name}", {attribute}{bits})',
        "factory": f'register_format("{name}", factory={attribute}{bits})',
        "recipe": f'register_recipe("{name}", {attribute}{bits})',
    }[target.role]
    return f"import quantgate\nfrom {module} import {first}\n\nquantgate.{call}\n"


def workflow(requirement: str, folder: Path) -> str:
    """The workflow of a repository, which installs the gate and what the repository itself needs."""
    own = [f"-r {name}" for name in ("requirements.txt",) if (folder / name).is_file()]
    own += ["."] if any((folder / name).is_file() for name in ("pyproject.toml", "setup.py")) else []
    return _WORKFLOW.format(install=" ".join([f'"{requirement}"', *own]))


def source() -> tuple[str, str]:
    """What pip installs this quantgate from elsewhere: the repository that it came from, or the index.

    Returns:
        The requirement, and what is to be said of it; empty where it is sure.
    """
    try:
        direct = json.loads(distribution("quantgate").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        direct = {}
    url = str(direct.get("url", ""))
    if "vcs_info" in direct:
        return f"quantgate @ git+{_public(url)}@{direct['vcs_info'].get('commit_id', f'v{__version__}')}", ""
    if "dir_info" not in direct:
        return f"quantgate=={__version__}", ""
    if origin := _origin(unquote(urlsplit(url).path)):
        return (
            f"quantgate @ git+{origin}@v{__version__}",
            f"it installs quantgate from {origin} at the tag v{__version__}",
        )
    return (
        f"quantgate=={__version__}",
        f"this quantgate is a folder here; a runner installs quantgate=={__version__}, which an index must have, or "
        f'write "quantgate @ git+https://HOST/OWNER/quantgate@v{__version__}" there',
    )


def _origin(folder: str) -> str | None:
    """The https address of a checkout's origin; None where it has none."""
    try:
        done = subprocess.run(
            ["git", "-C", folder, "remote", "get-url", "origin"],
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    address = done.stdout.strip()
    ssh = re.fullmatch(r"(?:ssh://)?git@([\w.-]+)[:/]([\w./-]+)", address)
    if ssh:
        return f"https://{ssh[1]}/{ssh[2]}"
    return _public(address) if re.fullmatch(r"https://[\w.@:/-]+", address) else None


def _public(url: str) -> str:
    """An address without the name and the password that may stand in it."""
    return re.sub(r"(?<=://)[^/@]*@", "", url)
