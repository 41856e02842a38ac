"""Every attack, in every mode that matters to it: the exit status, what is said, the verdicts of the report."""

from __future__ import annotations

import pytest

from tests.attacks.attack import Attack
from tests.attacks.green import GREEN
from tests.attacks.lost import LOST
from tests.attacks.red import RED
from tests.plugin.project import MODES, Outcome, Project

ATTACKS = (*GREEN, *RED, *LOST)
#: Where one worker is as good as two.
_MODES = {**MODES, "n1": ("-n1",)}
IN_PROCESS = [pytest.param(each, id=each.name) for each in ATTACKS if "here" in each.modes]
PROCESSES = [
    pytest.param(each, mode, id=f"{each.name}-{mode}")
    for each in ATTACKS
    for mode in each.modes
    if mode != "here"
]


def laid_out(attack: Attack, project: Project) -> Project:
    for path, text in attack.files.items():
        place = project.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    return project


def check(attack: Attack, outcome: Outcome) -> None:
    said = outcome.lines + outcome.stderr.splitlines()
    shown = f"exit status {outcome.exit_status}\n{outcome.stdout}\n{outcome.stderr}"
    assert outcome.exit_status == attack.status, shown
    for line in attack.says:
        assert any(_fits(line, each.strip()) for each in said), f"no line {line!r} in {shown}"
    for text in attack.never:
        assert text not in outcome.stdout + outcome.stderr, shown
    if attack.verdicts:
        assert {name: cell["verdict"] for name, cell in outcome.cells.items()} == attack.verdicts, shown


def _fits(wanted: str, line: str) -> bool:
    if wanted.endswith("..."):
        return line.startswith(wanted[:-3])
    return line.endswith(wanted[3:]) if wanted.startswith("...") else line == wanted


@pytest.mark.parametrize("attack", IN_PROCESS)
def test_in_this_process(attack: Attack, local: Project) -> None:
    check(attack, laid_out(attack, local).pytest("-n0", *attack.options, environment=attack.environment))


@pytest.mark.parametrize(("attack", "mode"), PROCESSES)
def test_as_a_process(attack: Attack, mode: str, project: Project) -> None:
    run = laid_out(attack, project)
    check(attack, run.pytest(*_MODES[mode], *attack.options, environment=attack.environment, timeout=120))


def test_no_attack_is_there_twice() -> None:
    names = [attack.name for attack in ATTACKS]

    assert sorted(set(names)) == sorted(names)
