"""`shard = auto`: which of how many parallel jobs this is, as the CI engine or scheduler says in its environment.

| engine | place | how many |
|---|---|---|
| GitLab, `parallel:` | `CI_NODE_INDEX`, from 1 | `CI_NODE_TOTAL` |
| CircleCI, `parallelism:` | `CIRCLE_NODE_INDEX`, from 0 | `CIRCLE_NODE_TOTAL` |
| Buildkite, `parallelism:` | `BUILDKITE_PARALLEL_JOB`, from 0 | `BUILDKITE_PARALLEL_JOB_COUNT` |
| Slurm, `--array=1-8` | `SLURM_ARRAY_TASK_ID` between `_MIN` and `_MAX` by `_STEP` | `SLURM_ARRAY_TASK_COUNT` |
| Kubernetes, indexed Job | `JOB_COMPLETION_INDEX`, from 0 | `QUANTGATE_JOB_TOTAL`, the Job's `completions` |
| GitHub, `strategy.matrix` | `QUANTGATE_JOB_INDEX`, from 0 | `QUANTGATE_JOB_TOTAL` |

GitHub sets no variable for a place in its matrix; a job hands it on (`QUANTGATE_JOB_INDEX: ${{ strategy.job-index }}`,
`QUANTGATE_JOB_TOTAL: ${{ strategy.job-total }}`), and so may any engine that is not listed. Nothing is guessed: half of
a position, one that cannot be, or two that differ are errors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

#: Set by whoever writes the job, where its engine tells no place, or no total.
JOB_INDEX, JOB_TOTAL = "QUANTGATE_JOB_INDEX", "QUANTGATE_JOB_TOTAL"
#: As many as an option of `K/N` can say.
MOST_SHARDS = 9999


@dataclass(frozen=True)
class _Engine:
    name: str
    index: str
    total: str
    #: The index of the first job.
    first: int
    #: What to do where there is an index and no total.
    advice: str


_ENGINES = (
    _Engine("GitLab", "CI_NODE_INDEX", "CI_NODE_TOTAL", 1, "give the job `parallel: 8`"),
    _Engine("CircleCI", "CIRCLE_NODE_INDEX", "CIRCLE_NODE_TOTAL", 0, "give the job `parallelism: 8`"),
    _Engine(
        "Buildkite",
        "BUILDKITE_PARALLEL_JOB",
        "BUILDKITE_PARALLEL_JOB_COUNT",
        0,
        "give the step `parallelism: 8`",
    ),
    _Engine(
        "Kubernetes",
        "JOB_COMPLETION_INDEX",
        JOB_TOTAL,
        0,
        f"Kubernetes tells a pod its index and not the total: set {JOB_TOTAL} to the Job's completions",
    ),
    _Engine(
        "the workflow",
        JOB_INDEX,
        JOB_TOTAL,
        0,
        f"set it beside the index, `{JOB_TOTAL}: ${{{{ strategy.job-total }}}}` on GitHub",
    ),
)
#: What the jobs of one run share, by engine.
_RUNS = {
    "GitHub": "GITHUB_RUN_ID",
    "GitLab": "CI_PIPELINE_ID",
    "CircleCI": "CIRCLE_WORKFLOW_ID",
    "Buildkite": "BUILDKITE_BUILD_ID",
    "Slurm": "SLURM_ARRAY_JOB_ID",
}
_SLURM = "SLURM_ARRAY_TASK_ID"


def position(environment: Mapping[str, str]) -> tuple[int, int]:
    """This job's place, from 1, and how many there are.

    Raises:
        ValueError: The environment tells no place, half of one, one that cannot be, or two that differ.
    """
    named = {
        f"{engine.name} ({engine.index})": _position(engine, environment)
        for engine in _ENGINES
        if engine.index in environment
    }
    if _SLURM in environment:
        named[f"Slurm ({_SLURM})"] = _slurm(environment)
    if not named:
        raise ValueError(
            "'auto' finds no place of this job among others: no GitLab, CircleCI, Buildkite, Slurm array or Kubernetes "
            f"indexed Job says one. On GitHub, set {JOB_INDEX}: ${{{{ strategy.job-index }}}} and {JOB_TOTAL}: "
            "${{ strategy.job-total }} in the job's env; elsewhere write the shard, 2/8"
        )
    if len(set(named.values())) > 1:
        said = ", ".join(f"{name} says {k}/{n}" for name, (k, n) in named.items())
        raise ValueError(f"'auto' finds two places of this job: {said}; write the one that is meant, 2/8")
    return next(iter(named.values()))


def run_of(environment: Mapping[str, str]) -> str | None:
    """What names this run of a pipeline in each of its jobs; None where no engine says."""
    said = (f"{engine} {environment[name]:.80}" for engine, name in _RUNS.items() if environment.get(name))
    return next(said, None)


def _position(engine: _Engine, environment: Mapping[str, str]) -> tuple[int, int]:
    index = _number(engine.name, engine.index, environment[engine.index])
    if engine.total not in environment:
        raise ValueError(f"'auto': {engine.index} is set and {engine.total} is not; {engine.advice}")
    total = _number(engine.name, engine.total, environment[engine.total])
    if not engine.first <= index < engine.first + total or total > MOST_SHARDS:
        raise ValueError(
            f"'auto': {engine.index}={index} and {engine.total}={total} contradict each other; indices of "
            f"{engine.name} go from {engine.first} to the total{'' if engine.first else ' less 1'}"
        )
    return index - engine.first + 1, total


def _slurm(environment: Mapping[str, str]) -> tuple[int, int]:
    """The place in a Slurm array, whose indices begin anywhere and have a step."""
    names = {part: f"SLURM_ARRAY_TASK_{part}" for part in ("ID", "MIN", "MAX", "COUNT", "STEP")}
    if missing := [
        name for part, name in names.items() if part not in {"STEP", "MAX"} and name not in environment
    ]:
        raise ValueError(f"'auto': {_SLURM} is set and {missing[0]} is not; write the shard, 2/8")
    values = {
        part: _number("Slurm", name, environment[name]) for part, name in names.items() if name in environment
    }
    task, first, count = values["ID"], values["MIN"], values["COUNT"]
    step = max(1, values.get("STEP", 1))
    last = values.get("MAX", first + step * (count - 1))
    if count < 1 or count > MOST_SHARDS or (last - first) != step * (count - 1) or (task - first) % step:
        raise ValueError(
            f"'auto': the Slurm array from {first} to {last} by {step} has {count} tasks, so that task {task} has no "
            "place that can be told; give it consecutive indices, `--array=1-8`, or write the shard, 2/8"
        )
    if not first <= task <= last:
        raise ValueError(
            f"'auto': {_SLURM}={task} lies outside the array, {first} to {last}; write the shard, 2/8"
        )
    return (task - first) // step + 1, count


def _number(engine: str, name: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text.strip(), flags=re.ASCII):
        raise ValueError(
            f"'auto': {name}={text!r}, from {engine}, is not a whole number; write the shard, 2/8"
        )
    return int(text)
