"""A rule of the diagnosis as a record, and the one function that runs it.

A rule says what is measured, which line it is held against, what set that line, and the sentence that a person reads.
`Rule.ask` picks the measurement out of the evidence: `tensors` and `quantity` make the usual ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from string import Formatter
from typing import Any

from quantgate.diagnosis.evidence import Evidence, Finding, Severity, TensorEvidence
from quantgate.diagnosis.numbers import plain

Value = float | int | str | None


@dataclass(frozen=True)
class Case:
    """What is diagnosed: the evidence, and what the subject declares of itself."""

    evidence: Evidence
    bits: float | None = None
    lossless: bool = False


@dataclass(frozen=True)
class Seen:
    """What a rule found beyond its line."""

    #: For the sentence and the record, by name.
    values: Mapping[str, Value]
    #: The step at which it was measured.
    step: int = 0


#: Looks at a case; None where the rule does not apply or nothing is beyond the line.
Ask = Callable[[Case], Seen | None]


@dataclass(frozen=True)
class Limit:
    """A line between healthy and faulty, and the measurement that set it."""

    at: float
    #: What healthy quantizers measure, or what the faulty ones do.
    measured: str
    #: How the number is written.
    form: str = "{:g}"

    def __str__(self) -> str:
        return self.form.format(self.at)


@dataclass(frozen=True)
class LimitByBits:
    """A line that depends on the bits of the format."""

    #: The line by the most bits that it holds for, fewest first.
    at: Mapping[float, float]
    measured: str
    form: str = "{:g}"

    def for_bits(self, bits: float | None) -> float:
        """The line for so many bits; where they are unknown, the one for the fewest."""
        known = 0.0 if bits is None else bits
        return next(line for most, line in self.at.items() if known <= most)

    def __str__(self) -> str:
        lines = [
            self.form.format(line) + (f" to {most:g} bits" if math.isfinite(most) else " beyond")
            for most, line in self.at.items()
        ]
        return ", ".join(lines)


@dataclass(frozen=True)
class Rule:
    """One line of the diagnosis."""

    #: By its name in `CAUSES`.
    cause: str
    #: What is measured, in words.
    measures: str
    #: When it is flagged, in words; `{0}`, `{1}` stand for the limits.
    flagged: str
    #: The sentence of the finding, with the names of `Seen.values`.
    says: str
    ask: Ask
    #: What of `Seen.values` joins the record: a name, or (the record's name, the value's).
    record: tuple[str | tuple[str, str], ...] = ()
    limits: tuple[Limit | LimitByBits, ...] = ()
    #: Why the line is where it is, for a rule that needs no number.
    measured: str = ""
    #: A warning is said, and passes.
    severity: Severity = "fault"


def run(rule: Rule, case: Case) -> Finding | None:
    """The finding of a rule; None where nothing is wrong or the rule does not apply."""
    seen = rule.ask(case)
    if seen is None:
        return None
    pairs = [(each, each) if isinstance(each, str) else each for each in rule.record]
    numbers = {name: seen.values[value] for name, value in pairs}
    return Finding(rule.cause, _SENTENCE.format(rule.says, **seen.values), numbers, seen.step, rule.severity)


class _Sentence(Formatter):
    """Fills a sentence in, its numbers as people write them."""

    def format_field(self, value: Any, format_spec: str) -> str:
        return plain(super().format_field(value, format_spec))


_SENTENCE = _Sentence()


def quantity(get: Callable[[Evidence], Value], is_bad: Callable[[Any], bool]) -> Ask:
    """Asks for one number of the evidence, `value` in the sentence; None in the evidence is not measured."""

    def ask(case: Case) -> Seen | None:
        value = get(case.evidence)
        return None if value is None or not is_bad(value) else Seen({"value": value})

    return ask


def tensors(
    is_bad: Callable[[TensorEvidence, Case], bool],
    *,
    worst: Callable[[TensorEvidence], float],
    both: bool = False,
    least_share: float = 0.0,
    among: Callable[[TensorEvidence], bool] = lambda tensor: True,
    applies: Callable[[Case], bool] = lambda case: True,
    add: Callable[[Case, TensorEvidence], Mapping[str, Value]] = lambda case, tensor: {},
) -> Ask:
    """Asks each tensor, and reports the worst of the first step that has a bad one.

    The weights are asked first, because they are what is trained; the quantizer's own inputs where there are no
    weights to ask or, with `both`, where the weights show nothing: a gradient that is 0 in every weight because
    its values all fell to 0 is seen on the inputs alone.

    Args:
        is_bad: Whether a tensor is beyond the line.
        worst: Of the bad tensors, the one with the largest is reported.
        both: Whether the inputs are asked where no weight is bad.
        least_share: Of the tensors asked, so many must be bad.
        among: Which tensors are asked.
        applies: Whether the rule holds for the case at all.
        add: Further values for the sentence and the record.

    Returns:
        What sees the fields of the worst `TensorEvidence`, `bad` of `of` tensors, and their `kind`.
    """

    def ask(case: Case) -> Seen | None:
        if not applies(case):
            return None
        for asked in _asked(case.evidence, both=both):
            judged = [tensor for tensor in asked if among(tensor)]
            bad = [tensor for tensor in judged if is_bad(tensor, case)]
            if not bad:
                continue
            if len(bad) < least_share * len(judged):
                return None
            chosen = max(bad, key=worst)
            values: dict[str, Value] = asdict(chosen)
            values |= {"bad": len(bad), "of": len(judged), "kind": _kind(judged)}
            return Seen({**values, **add(case, chosen)}, judged[0].step)
        return None

    return ask


def _asked(evidence: Evidence, *, both: bool) -> Sequence[Sequence[TensorEvidence]]:
    """The tensors that are asked together, in the order in which they are."""
    steps = sorted({tensor.step for tensor in evidence.weights})
    weights = [[tensor for tensor in evidence.weights if tensor.step == step] for step in steps]
    return weights if weights and not both else [*weights, list(evidence.inputs)]


def _kind(judged: Sequence[TensorEvidence]) -> str:
    if judged[0].tensor.startswith("N("):
        return "inputs"
    return "tensors" if any(" of " in each.tensor for each in judged) else "weights"


def at_first_step(evidence: Evidence) -> list[TensorEvidence]:
    """The weights at the first probed step: untouched by what training makes of them."""
    return [tensor for tensor in evidence.weights if tensor.step == evidence.weights[0].step]


def names(given: Sequence[TensorEvidence]) -> str:
    """The names of the first four tensors."""
    return ", ".join(tensor.tensor for tensor in given[:4]) + (" and more" if len(given) > 4 else "")
