"""`shard = auto`: the place of a job, as each engine says it."""

from __future__ import annotations

import pytest

from quantgate.plan.engines import position, run_of


def slurm(task: int, first: int, last: int, count: int, step: int = 1) -> dict[str, str]:
    values = {"ID": task, "MIN": first, "MAX": last, "COUNT": count, "STEP": step}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}


#: What an engine sets in the third of its eight jobs, and beside it.
THIRD_OF_EIGHT = {
    "GitLab": {"CI_NODE_INDEX": "3", "CI_NODE_TOTAL": "8", "GITLAB_CI": "true"},
    "CircleCI": {"CIRCLE_NODE_INDEX": "2", "CIRCLE_NODE_TOTAL": "8"},
    "Buildkite": {"BUILDKITE_PARALLEL_JOB": "2", "BUILDKITE_PARALLEL_JOB_COUNT": "8"},
    "Slurm from 1": slurm(3, 1, 8, 8),
    "Slurm from 0": slurm(2, 0, 7, 8),
    "Slurm by 5": slurm(20, 10, 45, 8, 5),
    "Slurm without MAX and STEP": {
        "SLURM_ARRAY_TASK_ID": "3",
        "SLURM_ARRAY_TASK_MIN": "1",
        "SLURM_ARRAY_TASK_COUNT": "8",
    },
    "Kubernetes": {"JOB_COMPLETION_INDEX": "2", "QUANTGATE_JOB_TOTAL": "8"},
    "GitHub": {"QUANTGATE_JOB_INDEX": "2", "QUANTGATE_JOB_TOTAL": "8", "GITHUB_ACTIONS": "true"},
}


@pytest.mark.parametrize("engine", THIRD_OF_EIGHT)
def test_an_engine_tells_the_third_of_eight(engine: str) -> None:
    assert position(THIRD_OF_EIGHT[engine]) == (3, 8)


def test_every_place_of_an_engine_is_told_once() -> None:
    def places(name: str, first: int, **more: str) -> list[tuple[int, int]]:
        return [position({name: str(first + k), **more}) for k in range(4)]

    everyone = [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert places("CI_NODE_INDEX", 1, CI_NODE_TOTAL="4") == everyone
    assert places("CIRCLE_NODE_INDEX", 0, CIRCLE_NODE_TOTAL="4") == everyone
    assert places("BUILDKITE_PARALLEL_JOB", 0, BUILDKITE_PARALLEL_JOB_COUNT="4") == everyone
    assert places("JOB_COMPLETION_INDEX", 0, QUANTGATE_JOB_TOTAL="4") == everyone
    assert places("QUANTGATE_JOB_INDEX", 0, QUANTGATE_JOB_TOTAL="4") == everyone
    assert [position(slurm(task, 5, 11, 4, 2)) for task in (5, 7, 9, 11)] == everyone


def test_two_engines_that_agree_are_no_contradiction() -> None:
    assert position(THIRD_OF_EIGHT["GitLab"] | THIRD_OF_EIGHT["Slurm from 1"]) == (3, 8)


NOT_TOLD = (
    "'auto' finds no place of this job among others: no GitLab, CircleCI, Buildkite, Slurm array or Kubernetes indexed "
    "Job says one. On GitHub, set QUANTGATE_JOB_INDEX: ${{ strategy.job-index }} and QUANTGATE_JOB_TOTAL: "
    "${{ strategy.job-total }} in the job's env; elsewhere write the shard, 2/8"
)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, NOT_TOLD),
        ({"GITHUB_ACTIONS": "true", "QUANTGATE_JOB_TOTAL": "8"}, NOT_TOLD),
        ({"GITLAB_CI": "true", "CI_NODE_TOTAL": "1"}, NOT_TOLD),
        (
            {"CI_NODE_INDEX": "3"},
            "'auto': CI_NODE_INDEX is set and CI_NODE_TOTAL is not; give the job `parallel: 8`",
        ),
        (
            {"JOB_COMPLETION_INDEX": "3"},
            "'auto': JOB_COMPLETION_INDEX is set and QUANTGATE_JOB_TOTAL is not; Kubernetes tells a pod its index and "
            "not the total: set QUANTGATE_JOB_TOTAL to the Job's completions",
        ),
        (
            {"QUANTGATE_JOB_INDEX": "3"},
            "'auto': QUANTGATE_JOB_INDEX is set and QUANTGATE_JOB_TOTAL is not; set it beside the index, "
            "`QUANTGATE_JOB_TOTAL: ${{ strategy.job-total }}` on GitHub",
        ),
        (
            {"CI_NODE_INDEX": "0", "CI_NODE_TOTAL": "8"},
            "'auto': CI_NODE_INDEX=0 and CI_NODE_TOTAL=8 contradict each other; indices of GitLab go from 1 to the "
            "total",
        ),
        (
            {"CIRCLE_NODE_INDEX": "8", "CIRCLE_NODE_TOTAL": "8"},
            "'auto': CIRCLE_NODE_INDEX=8 and CIRCLE_NODE_TOTAL=8 contradict each other; indices of CircleCI go from 0 "
            "to the total less 1",
        ),
        (
            {"CIRCLE_NODE_INDEX": "two", "CIRCLE_NODE_TOTAL": "8"},
            "'auto': CIRCLE_NODE_INDEX='two', from CircleCI, is not a whole number; write the shard, 2/8",
        ),
        (
            {"CI_NODE_INDEX": "3", "CI_NODE_TOTAL": "8", "CIRCLE_NODE_INDEX": "0", "CIRCLE_NODE_TOTAL": "2"},
            "'auto' finds two places of this job: GitLab (CI_NODE_INDEX) says 3/8, CircleCI (CIRCLE_NODE_INDEX) says "
            "1/2; write the one that is meant, 2/8",
        ),
        (
            slurm(3, 1, 7, 3),
            "'auto': the Slurm array from 1 to 7 by 1 has 3 tasks, so that task 3 has no place that can be told; give "
            "it consecutive indices, `--array=1-8`, or write the shard, 2/8",
        ),
        (
            slurm(9, 1, 8, 8),
            "'auto': SLURM_ARRAY_TASK_ID=9 lies outside the array, 1 to 8; write the shard, 2/8",
        ),
        (
            {"SLURM_ARRAY_TASK_ID": "3"},
            "'auto': SLURM_ARRAY_TASK_ID is set and SLURM_ARRAY_TASK_MIN is not; write the shard, 2/8",
        ),
    ],
)
def test_what_tells_no_place_is_refused(environment: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=r"^'auto'") as refused:
        position(environment)

    assert str(refused.value) == message


def test_a_run_is_named_alike_in_all_its_jobs() -> None:
    assert run_of({}) is None
    assert run_of({"GITHUB_RUN_ID": "17345", "QUANTGATE_JOB_INDEX": "1"}) == "GitHub 17345"
    assert run_of({"SLURM_ARRAY_JOB_ID": "9", "SLURM_JOB_ID": "11"}) == "Slurm 9"
