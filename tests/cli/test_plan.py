"""`quantgate plan`: what a run of the tests would train, and none of it trained."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command, Said
from tests.plugin.project import TEST_LEARNS

REGISTERS = """
import quantgate

quantgate.register_format("mine", lambda x: x, bits=4)
"""
MARKED = """
import pytest

@pytest.mark.lowbit(formats="nf4", optimizers="sgd")
def test_marked(lowbit_cell):
    lowbit_cell.assert_learns()
"""


@pytest.fixture
def plan(quantgate: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command in an empty folder."""
    for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"):
        monkeypatch.delenv(name, raising=False)

    def run(*more: str) -> Said:
        # Pytest would rewrite modules that this process has imported.
        return quantgate("plan", *more, "-W", "ignore", "-p", "no:hypothesispytest")

    return run


def found(said: Said) -> dict[str, Any]:
    assert (said.status, said.err) == (0, "")
    parsed: dict[str, Any] = json.loads(said.out)
    return parsed


def test_a_plan_of_the_long_lane_has_its_settings_and_costs(plan: Any) -> None:
    Path("test_lowbit.py").write_text(TEST_LEARNS)
    # Its own text would be fetched; a line of one's own allows another.
    said = found(
        plan(
            "--shards", "2", "--quantgate-matrix=long", "--quantgate-corpus=builtin", "--quantgate-fail-bpb=3"
        )
    )

    assert (said["count"], said["settings"]["steps"], said["settings"]["fail_bpb"]) == (40, 2000, 3.0)
    assert {cell["lane"] for cell in said["cells"]} == {"long"}
    assert min(cell["seconds"] for cell in said["cells"]) > 20
    assert abs(said["shards"][0]["seconds"] - said["shards"][1]["seconds"]) < 60


def test_a_plan_is_the_cells_their_cost_their_shard_and_the_controls(plan: Any) -> None:
    Path("test_lowbit.py").write_text(TEST_LEARNS)
    said = found(
        plan("--shards", "2", "--quantgate-formats", "int4,nf4", "--quantgate-optimizers", "adamw,sgd")
    )

    assert (said["count"], said["selected"]) == (4, 4)
    assert said["settings"]["steps"] == 100
    assert [(each["shard"], each["cells"], each["controls"]) for each in said["shards"]] == [
        ("1/2", 2, ["fp32-adamw-s47"]),
        ("2/2", 2, ["fp32-sgd-s47"]),
    ]
    assert all(each["negative_controls"] == 3 for each in said["shards"])
    assert said["seconds"] == pytest.approx(sum(each["seconds"] for each in said["shards"]), abs=0.11)
    assert [(each["id"], each["shard"], each["control"]) for each in said["cells"]] == [
        ("int4-adamw-s47", "1/2", "fp32-adamw-s47"),
        ("int4-sgd-s47", "2/2", "fp32-sgd-s47"),
        ("nf4-adamw-s47", "1/2", "fp32-adamw-s47"),
        ("nf4-sgd-s47", "2/2", "fp32-sgd-s47"),
    ]
    assert all(0.1 < each["seconds"] < 10 for each in said["cells"])


def test_options_come_from_the_ini_file_the_environment_and_the_command_line(
    plan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("test_lowbit.py").write_text(TEST_LEARNS)
    Path("pytest.ini").write_text("[pytest]\naddopts = -n 2\nquantgate_formats = int4\nquantgate_steps = 7\n")
    monkeypatch.setenv("QUANTGATE_SEEDS", "89")
    monkeypatch.setenv("QUANTGATE_SHARD", "2/2")
    said = found(plan("--quantgate-optimizers=lion"))

    assert [each["id"] for each in said["cells"]] == ["int4-lion-s89"]
    assert said["settings"]["steps"] == 7


def test_what_is_registered_marked_and_selected_counts(plan: Any) -> None:
    Path("conftest.py").write_text(REGISTERS)
    Path("test_lowbit.py").write_text(TEST_LEARNS + MARKED)
    said = found(plan("-k", "not adamw"))

    assert {each["id"]: each["selected"] for each in said["cells"]} == {
        "mine-adamw-s47": False, "mine-muon-s47": True, "mine-sgd-s47": True, "nf4-sgd-s47": True,
    }  # fmt: skip
    assert (said["count"], said["selected"], said["shards"][0]["cells"]) == (4, 3, 3)


@pytest.mark.parametrize(
    ("formats", "count"), [("mine:int8", 1), ("bare:int8", 0), ("mine:int8,int4", 4), ("int4", 3)]
)
def test_a_trainer_has_one_negative_control_and_the_gate_three(plan: Any, formats: str, count: int) -> None:
    trainer = 'formats = ["int8"]\noptimizers = ["adamw"]\n'
    Path("quantgate.toml").write_text(
        f'[trainers.mine]\ncommand = ["./t", "{{format}}", "{{lr}}"]\n{trainer}'
        f'[trainers.bare]\ncommand = ["./t", "{{format}}"]\n{trainer}'
    )
    said = found(plan("--quantgate-optimizers=adamw", "--quantgate-formats", formats))

    assert said["shards"][0]["negative_controls"] == count


def test_without_a_test_the_matrix_is_planned(plan: Any) -> None:
    assert found(plan())["count"] == 54


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--quantgate-formats", "int5"), "unknown format 'int5'; did you mean 'int8' or 'int4'"),
        (("--quantgate-steps", "none"), "invalid --quantgate-steps from the command line: 'none' is not"),
        (("--shards", "0"), "--shards 0: from 1 to 9999"),
        (("nowhere.py",), "file or directory not found: nowhere.py"),
        (("--no-such-option",), "unrecognized arguments: --no-such-option"),
    ],
)
def test_what_no_run_could_do_is_a_usage_error(plan: Any, arguments: tuple[str, ...], said: str) -> None:
    Path("test_lowbit.py").write_text(TEST_LEARNS)
    refused = plan(*arguments)

    assert (refused.status, refused.out) == (4, "")
    assert said in refused.err
    assert refused.err.count("\n") == 1


def test_a_test_that_cannot_be_imported_is_a_usage_error(plan: Any) -> None:
    Path("test_lowbit.py").write_text("import no_such_module\n")

    assert plan().err == (
        "quantgate: the tests cannot be collected: ModuleNotFoundError: No module named 'no_such_module'\n"
    )


def test_people_get_a_table(plan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    said = plan("--shards", "2", "-k", "nothing_there").out.splitlines()

    assert said[0].startswith("54 cells, about ")
    assert [line.split()[0] for line in said[1:]] == ["1/2", "2/2"]


def test_other_commands_take_no_options_of_pytest(quantgate: Command) -> None:
    said = quantgate("explain", "sign-lost", "--quantgate-steps", "5")

    assert said.status == 4
    assert "unrecognized arguments: --quantgate-steps 5" in said.err


@pytest.mark.slow
def test_a_plan_costs_no_torch(folder: Path) -> None:
    (folder / "conftest.py").write_text(REGISTERS)
    (folder / "test_lowbit.py").write_text(TEST_LEARNS)
    code = (
        "import sys; from quantgate.cli.main import main; main(['plan', '-p', 'no:hypothesispytest']); "
        "sys.exit(3 if {'torch', 'numpy'} & sys.modules.keys() else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=folder
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["count"] == 3
