"""What a user can register, and the ways in: conftest, hook, option, plugin; and the ways out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.plugin.project import BLOCKED, FAST, NARROW, TEST_LEARNS, Project
from tests.plugin.test_options_collected import collected

MYLIB = """
def int4(w):
    scale = (w.detach().abs().amax() / 7).clamp_min(1e-12)
    return w + ((w / scale).round() * scale - w).detach()


def round_64(w):
    return (w * 64).round() / 64
"""


def test_the_suite_from_an_empty_folder(project: Project) -> None:
    outcome = project.pytest(
        "--pyargs", "quantgate.suite", "-n", "2", "--quantgate-formats", "int4,nf4", "--quantgate-report", "out", *FAST
    )  # fmt: skip
    assert outcome.exit_status == 0
    assert {name: record["verdict"] for name, record in outcome.cells.items()} == {
        "int4": "learns",
        "nf4": "learns",
    }
    assert (
        "2 planned / 2 ran / 2 judged / 0 skipped, 1 of 1 controls learn, 3 of 3 negative controls fail"
        in outcome.lines
    )


def test_the_suite_with_a_function_of_a_module(local: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command of the README; bits come after the @, and without them reports say unknown."""
    local.write(mylib=MYLIB)
    monkeypatch.syspath_prepend(local.folder)
    outcome = local.pytest(
        "--pyargs", "quantgate.suite", "-n0", *FAST, "--quantgate-report=out",
        "--quantgate-formats=mylib:int4@4,mylib:round_64",
    )  # fmt: skip
    assert outcome.exit_status == 1
    healthy, blocked = outcome.cells["mylib:int4@4"], outcome.cells["mylib:round_64"]
    assert (healthy["verdict"], healthy["evidence"]["bits"]) == ("learns", 4)
    assert (blocked["verdict"], blocked["cause"]) == ("dead", "gradient-blocked")
    assert blocked["evidence"]["bits"] == "unknown"


RECIPES = """
import quantgate


def int8_weights(model):
    import torch
    from torch.nn.utils import parametrize

    class Int8(torch.nn.Module):
        def forward(self, w):
            scale = (w.detach().abs().amax() / 127).clamp_min(1e-12)
            return w + ((w / scale).round() * scale - w).detach()

    for module in list(model.modules()):
        if hasattr(module, "weight"):
            parametrize.register_parametrization(module, "weight", Int8())
    return model


def plain_adamw(model, lr):
    import torch

    return [torch.optim.AdamW(model.parameters(), lr)]


quantgate.register_recipe("int8_weights", int8_weights, bits=8)
quantgate.register_optimizer("plain_adamw", plain_adamw)
"""
THREADS = """
import torch


def test_learns(lowbit_cell):
    torch.set_num_threads(3)
    torch.manual_seed(11)
    expected = torch.rand(4)
    torch.manual_seed(11)
    lowbit_cell.assert_learns()
    assert torch.get_num_threads() == 3
    assert torch.equal(torch.rand(4), expected)
    assert not torch.are_deterministic_algorithms_enabled()


def test_after_it():
    assert torch.get_num_threads() == 3
"""


@pytest.fixture
def _threads() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_threads")
def test_a_recipe_and_an_optimizer_run_alone_and_threads_stay_as_they_were(local: Project) -> None:
    local.write(conftest=RECIPES, test_lowbit=THREADS)
    outcome = local.pytest(
        "-n0", *NARROW, "--quantgate-steps=20", "--quantgate-lr=0.003", "--quantgate-report=out"
    )
    assert outcome.exit_status == 0, outcome.stdout
    (record,) = outcome.cells.values()
    assert (record["subject"], record["kind"], record["optimizer"], record["format"]) == (
        "int8_weights", "recipe", "plain_adamw", "",
    )  # fmt: skip
    assert (record["verdict"], record["lr"]) == ("learns", 0.003)
    assert 0 < abs(record["gap"]) < 0.1


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize(
    ("subjects", "status", "said"),
    [
        ("int8,int8_weights", 0, "2 planned / 1 ran / 1 judged / 1 skipped"),
        ("int8_weights", 1, "quantgate: 0 of 1 planned cells were judged"),
    ],
)
def test_a_scope_skips_the_cells_of_recipes_and_no_others(
    local: Project, subjects: str, status: int, said: str
) -> None:
    """A run that judged all that it could is green; one that judged nothing is not."""
    local.write(conftest=RECIPES, test_lowbit=THREADS)
    options = ("-n0", "-rs", *NARROW, "--quantgate-steps=20", "--quantgate-lr=0.003")
    outcome = local.pytest(
        *options, "--quantgate-scope=weights+activations", f"--quantgate-formats={subjects}"
    )
    assert outcome.exit_status == status, outcome.stdout
    assert said in outcome.stdout
    assert (
        "quantgate: recipe 'int8_weights' says itself what is quantized and stored; storage and scope are for "
        "formats, leave them out or name formats only" in outcome.stdout
    )


def test_what_is_registered_is_what_runs(pytester: pytest.Pytester, mode: tuple[str, ...]) -> None:
    pytester.makeconftest(BLOCKED)
    pytester.makepyfile(TEST_LEARNS)
    result = pytester.runpytest_inprocess("--collect-only", "-q", *mode)
    assert collected(result) == ["blocked-adamw-s47", "blocked-muon-s47", "blocked-sgd-s47"]
    named = pytester.runpytest_inprocess(
        "--collect-only", "-q", *mode, "--quantgate-formats=nf4", "--quantgate-optimizers=sgd", "-p", "no:conftest"
    )  # fmt: skip
    assert named.ret == 4  # the same process again: the name is taken
    assert "subject 'blocked' is already registered; choose another name" in named.stderr.str()


HOOK = """
def pytest_quantgate_register(registry):
    registry.register_format("hooked", lambda w: w, bits=4)
"""


@pytest.mark.parametrize("where", ["conftest", "plugin"])
def test_the_hook(pytester: pytest.Pytester, mode: tuple[str, ...], where: str) -> None:
    pytester.makepyfile(TEST_LEARNS)
    if where == "conftest":
        pytester.makeconftest(HOOK)
        options: list[str] = []
    else:
        pytester.makepyfile(myplugin=HOOK)
        pytester.syspathinsert()
        options = ["-p", "myplugin"]
    result = pytester.runpytest_inprocess(
        "--collect-only", "-q", *mode, *options, "--quantgate-optimizers=sgd", "test_the_hook.py"
    )
    assert collected(result) == ["hooked-sgd-s47"]


def test_a_conftest_in_tests_registers_too(pytester: pytest.Pytester) -> None:
    tests = pytester.mkdir("tests")
    tests.joinpath("conftest.py").write_text(BLOCKED)
    tests.joinpath("test_lowbit.py").write_text(TEST_LEARNS)
    result = pytester.runpytest_inprocess("--collect-only", "-q", "--quantgate-optimizers=sgd")
    assert collected(result) == ["blocked-sgd-s47"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("int4", "subject 'int4' is already registered; choose another name"),
        (
            "a\x1b[31m",
            r"subject 'a\x1b[31m': a name holds letters, digits and _ . : @ + only, since it becomes part of test "
            "ids and file names",
        ),
    ],
)
def test_a_name_that_cannot_be_registered(pytester: pytest.Pytester, name: str, message: str) -> None:
    pytester.makepyfile(TEST_LEARNS)
    pytester.makeconftest(HOOK.replace('"hooked"', repr(name)))
    result = pytester.runpytest_inprocess("--collect-only")
    assert result.ret == 4
    assert f"ERROR: quantgate: {message}" in result.errlines


def test_without_the_plugin_its_fixtures_and_options_are_gone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(f"{TEST_LEARNS}\n\ndef test_other():\n    pass\n")
    result = pytester.runpytest_inprocess("-p", "no:quantgate")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*fixture 'lowbit_cell' not found"])
    refused = pytester.runpytest_inprocess("-p", "no:quantgate", "--quantgate-formats=int4")
    assert refused.ret == 4


TIMEOUTS = """
def pytest_collection_finish(session):
    for item in session.items:
        marker = item.get_closest_marker("timeout")
        print("TIMEOUT", item.name.partition("[")[0], marker and marker.args)
"""
TIMED_TESTS = """
import pytest


def test_learns(lowbit_cell): ...


@pytest.mark.timeout(7)
def test_marked(lowbit_cell): ...


def test_codec(lowbit_format): ...


def test_other(): ...
"""
NO_LIMIT = ["learns None", "marked (7,)", "codec None", "other None"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["learns (60,)", "marked (7,)", "codec None", "other None"]),
        (["--timeout=9"], NO_LIMIT),
        (["-o", "timeout=9"], NO_LIMIT),
        (["-p", "no:timeout", "-W", "ignore"], NO_LIMIT),
    ],
    ids=["default", "option", "ini", "none"],
)
def test_a_cell_has_a_minute_unless_the_user_says_otherwise(
    pytester: pytest.Pytester, options: list[str], expected: list[str]
) -> None:
    pytester.makepyfile(TIMED_TESTS)
    pytester.makeconftest(TIMEOUTS)
    result = pytester.runpytest_inprocess(
        "--collect-only", "-q", "-s", "--quantgate-formats=int4", "--quantgate-optimizers=sgd", *options
    )
    said = [line.removeprefix("TIMEOUT test_") for line in result.outlines if line.startswith("TIMEOUT")]
    assert said == expected


def test_the_users_own_hook_may_set_the_limit(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TIMED_TESTS)
    pytester.makeconftest(
        TIMEOUTS
        + "import pytest\ndef pytest_collection_modifyitems(items):\n    items[0].add_marker(pytest.mark.timeout(2))\n"
    )
    result = pytester.runpytest_inprocess(
        "--collect-only", "-q", "-s", "--quantgate-formats=int4", "--quantgate-optimizers=sgd"
    )
    assert "TIMEOUT test_learns (2,)" in result.outlines


def test_without_pytest_timeout_a_cell_is_judged(local: Project) -> None:
    local.write(test_lowbit=TEST_LEARNS)
    outcome = local.pytest("-n0", "-p", "no:timeout", *FAST, "--quantgate-formats=int4")
    assert outcome.exit_status == 0
    assert outcome.lines[-1].strip("= ").startswith("1 passed in ")
