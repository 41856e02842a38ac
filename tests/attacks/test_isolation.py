"""A suite that changes every global state of torch beside the gate: the records are a clean run's, bit by bit."""

from __future__ import annotations

from typing import Any

from tests.attacks.attack import FAST, LEARNS, REPORT
from tests.plugin.project import MODES, Outcome, Project

#: Tests before and after the cells, on which the leaks of the first must not be lost either.
POLLUTES = f"""
import random

import numpy as np
import torch
from torch.optim.optimizer import _global_optimizer_post_hooks, register_optimizer_step_post_hook

KEPT = []


def entered(context):
    KEPT.append(context)  # one that is collected as garbage ends what it began
    context.__enter__()


def test_a_pollutes():
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.nn.modules.module.register_module_forward_hook(lambda module, inputs, output: output * 2)
    register_optimizer_step_post_hook(lambda optimizer, *_: optimizer.zero_grad())
    entered(torch.autocast("cpu", dtype=torch.bfloat16))
    entered(torch.inference_mode())
    entered(torch.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: x * 2))
    torch.set_float32_matmul_precision("medium")
    torch.set_flush_denormal(True)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_num_threads(2)
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)
    STATE.append((random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state(), found()))


def found():
    return (
        torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"), torch.get_float32_matmul_precision(),
        torch.are_deterministic_algorithms_enabled(), torch.get_num_threads(),
        len(torch.nn.modules.module._global_forward_hooks), len(_global_optimizer_post_hooks),
        torch._C._autograd._top_saved_tensors_default_hooks(True) is not None,
    )


STATE = []
{LEARNS.replace("test_learns", "test_b_learns")}

def test_c_finds_what_was_left():
    python, numpy, rng, state = STATE[0]
    assert found() == state
    assert random.getstate() == python
    assert np.random.get_state()[1].tolist() == numpy
    with torch.inference_mode(False):
        assert rng.cpu().tolist() == torch.get_rng_state().tolist()
"""
CELLS = ("--quantgate-formats=int4,mxfp4,posit8", REPORT, *FAST)


def records(outcome: Outcome) -> list[dict[str, Any]]:
    """What the run found, without how long it took, and which test asked."""
    kept = [
        {name: value for name, value in record.items() if name not in {"seconds", "test"}}
        for record in outcome.records
    ]
    return sorted(kept, key=lambda record: (record["kind"], record["subject"]))


def test_the_records_are_those_of_a_clean_run_to_the_last_bit(project: Project) -> None:
    project.write(test_clean=LEARNS, test_polluted=POLLUTES)
    clean = project.pytest(*MODES["plain"], "test_clean.py", *CELLS)
    expected = records(clean)
    polluted = project.pytest(*MODES["plain"], "test_polluted.py", *CELLS)

    assert (clean.exit_status, polluted.exit_status) == (0, 0), polluted.stdout
    assert len(expected) == 7
    assert records(polluted) == expected
