"""`release.yml`: what is built, checked and installed before anything is published."""

from __future__ import annotations

import pytest

from quantgate.records.version import __version__
from tests.workflows.steps import ROOT, WORKFLOWS, Runner, load

RELEASE = WORKFLOWS / "release.yml"


@pytest.mark.parametrize(("tag", "status"), [(f"v{__version__}", 0), ("v9.9.9", 1)])
def test_the_tag_is_the_version(runner: Runner, tag: str, status: int) -> None:
    (runner.folder / "quantgate").symlink_to(ROOT / "quantgate")
    done = runner.run(RELEASE, "build", "The tag is the version", {"GITHUB_REF_NAME": tag})

    assert done.status == status
    assert (f"the tag is v9.9.9 and the version {__version__}" in done.output) is bool(status)


def test_both_distributions_are_built_and_checked(runner: Runner) -> None:
    for name in ("python", "pip", "twine"):
        runner.stand_in(name)
    (runner.folder / "dist").mkdir()
    for name in ("quantgate-1.tar.gz", "quantgate-1.whl"):
        (runner.folder / "dist" / name).touch()

    assert runner.run(RELEASE, "build", "Install").calls == [
        "pip [install] [--no-deps] [--require-hashes] [-r] [constraints-hashed.txt]"
    ]
    assert runner.run(RELEASE, "build", "Build").calls == ["python [-m] [build] [--outdir] [dist]"]
    assert runner.run(RELEASE, "build", "Check").calls == [
        "twine [check] [--strict] [dist/quantgate-1.tar.gz] [dist/quantgate-1.whl]"
    ]


@pytest.mark.parametrize("kind", ["whl", "tar.gz"])
def test_each_is_installed_and_run(runner: Runner, kind: str) -> None:
    for name in ("pip", "quantgate"):
        runner.stand_in(name)
    runner.stand_in("python", 'if [ "$2" = venv ]; then mkdir -p fresh/bin && cp bin/* fresh/bin/; fi')
    (runner.folder / "dist").mkdir()
    (runner.folder / "dist" / f"quantgate-1.{kind}").touch()
    runner.expressions = {"matrix.kind": kind}
    done = runner.run(RELEASE, "install", "Install it in a fresh environment, and run it")

    assert done.status == 0, done.output
    assert done.calls == [
        "python [-m] [venv] [fresh]",
        f"pip [install] [dist/quantgate-1.{kind}]",
        "quantgate [explain] [gradient-blocked]",
        "python [-m] [pytest] [--pyargs] [quantgate.suite] [-n0] [--quantgate-formats] [int8] [--quantgate-optimizers] "
        "[adamw]",
    ]


def test_publishing_needs_no_secret_and_signs_what_it_publishes() -> None:
    said = load(RELEASE)
    publish = said["jobs"]["publish"]

    assert publish["environment"]["name"] == "pypi"
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["steps"][-1]["with"]["attestations"] is True
    assert "secrets." not in RELEASE.read_text("utf-8")
    assert all(
        "id-token" not in job["permissions"] for name, job in said["jobs"].items() if name != "publish"
    )
