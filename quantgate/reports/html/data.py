"""A run as compact JSON, from which the page's script draws a cell when somebody looks at it.

What many cells share (names, control curves, environments, sentences) is there once and referred to by its place, so
that ten thousand cells stay within some megabytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from quantgate.diagnosis import measures
from quantgate.diagnosis.numbers import plain
from quantgate.records.cell import Cell
from quantgate.records.result import CellResult
from quantgate.reports.blocks.setting import chances
from quantgate.reports.story import Story, fails, not_excused, rerun, title, turned
from quantgate.reports.text import printable, printable_lines

#: What is shown of every tensor; a failing cell's has all of its numbers.
_COLUMNS = (
    "rms", "changed", "gain", "snr", "zeros", "negatives_kept", "positives_kept", "saturated", "gradient_cosine",
    "gradient_zeros",
)  # fmt: skip
#: Evidence that has a place of its own on the page.
_APART = frozenset({"weights", "because", "output"})
#: What is judged, where the record has one word for it.
_KINDS = {
    "format": "a number format",
    "recipe": "a recipe, which makes a model train in low precision",
    "trainer": "a trainer outside of quantgate",
    "control": "the float32 control",
    "negative-control": "a negative control, broken on purpose",
}
#: Stands for the cell's id in a command, which is otherwise the same for all.
_ID = "\u2990id\u298f"


class _Shared:
    """Values that are there once: the place of each."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[str, int] = {}

    def __call__(self, value: Any) -> int:
        key = json.dumps(value)
        if key not in self._places:
            self._places[key] = len(self.values)
            self.values.append(value)
        return self._places[key]


def fragment(cell: Cell) -> str:
    """The part of the page's address that opens a cell."""
    return f"cell/{quote(printable(cell.id), safe='')}"


def data(story: Story, *, brief: bool = False) -> dict[str, Any]:
    """The page's data: `cells`, whose values with a name in `refs` are places in `shared`.

    Args:
        story: The run.
        brief: Leave out the tensors of the cells that pass.
    """
    share, known = _Shared(), chances(story.results)
    controls = {each.cell: each for each in story.controls if each.kind == "control"}
    cells = [
        _cell(each, controls.get(each.cell.control), story, share, brief=brief)
        | _lines(each, story.run.fail_bpb, known)
        for each in story.results
    ]
    return {
        "limits": [story.run.fail_bpb, story.run.dead_bpb],
        "chance": known[0] if len(known) == 1 else None,
        "id": _ID,
        "refs": sorted(_REFS),
        "cells": cells,
        "words": _explained(story.results),
        "shared": share.values,
    }


_REFS = frozenset(
    {
        "subject", "optimizer", "variant", "verdict", "cause", "because", "hint", "steps", "control", "facts", "env",
        "columns", "tensors", "command", "source", "known", "turned", "output", "baseline",
    }
)  # fmt: skip


def _explained(results: Sequence[CellResult]) -> dict[str, str]:
    """What the names of columns and facts mean, of those that these cells have."""
    found: set[str] = set()
    for result in results:
        found |= set(result.evidence)
        found |= {name for each in _tensors_of(result)[:1] for name in each}
    known = {**measures.FACTS, **measures.COLUMNS}
    return {_named(name): text for name, text in known.items() if name in found}


def _named(name: object) -> str:
    return printable(str(name).replace("_", " "))


def _tensors_of(result: CellResult) -> list[Mapping[str, Any]]:
    weights = result.evidence.get("weights")
    return (
        [each for each in weights if isinstance(each, Mapping)] if isinstance(weights, list | tuple) else []
    )


def _cell(
    result: CellResult, control: CellResult | None, story: Story, share: _Shared, *, brief: bool
) -> dict[str, Any]:
    steps = [step for step, _ in result.curve]
    passes = result.verdict.passes
    command = rerun(result, story.run)
    known = not passes and story.is_known(result)
    texts: dict[str, Any] = {
        "subject": result.subject,
        "optimizer": result.optimizer,
        "variant": title(result.cell),
        "verdict": str(result.verdict),
        "cause": result.cause,
        "because": result.evidence.get("because"),
        "hint": result.hint,
        "source": result.source,
        "known": (story.reason(result) or "no reason is given") if known else None,
        "turned": "; ".join(filter(None, (turned(result), not_excused(result)))),
        "command": None if command is None else command.replace(result.cell.id, _ID),
    }
    output = result.evidence.get("output")
    values = {
        "id": printable(result.cell.id),
        "fails": fails(result),
        "bpb": _round(result.bpb),
        "last": _round(result.bpb_control),
        "curve": [_round(score) for _, score in result.curve],
        **{name: share(printable(str(text))) for name, text in texts.items() if text not in (None, "")},
        "steps": share(steps),
        "facts": share([*_facts(result), *_pairs(result.evidence)]),
        "env": share(environment(result)),
    }
    if output:
        values["output"] = share(printable_lines(str(output)[-20_000:]))
    if control is not None and control.curve:
        values["control"] = share(
            [[step for step, _ in control.curve], [_round(score) for _, score in control.curve]]
        )
    if baseline := _baseline(result):
        values["baseline"] = share(baseline)
    weights = _tensors_of(result)
    if weights and not (brief and passes):
        values |= _tensors(weights, share, whole=not passes)
    return values


def _lines(result: CellResult, fail: float, chance: Sequence[float]) -> dict[str, float]:
    """The limit of a cell and its chance, where they are not the run's: a foreign trainer has its own."""
    own = {"limit": result.evidence.get("limit"), "chance": result.chance}
    runs = {"limit": fail, "chance": chance[0] if len(chance) == 1 else None}
    found: dict[str, float] = {}
    for name, value in own.items():
        if isinstance(value, int | float) and math.isfinite(value) and round(value, 2) != runs[name]:
            found[name] = round(value, 4)
    return found


def _facts(result: CellResult) -> list[list[str]]:
    """What a cell's record says beside its curve and evidence, in words."""
    scores = {seed: "non-finite" if score is None else f"{score:.3f}" for seed, score in result.seeds.items()}
    facts = {
        "what is judged": _KINDS.get(result.kind, result.kind),
        "seed": None if result.seed is None else str(result.seed),
        "width of the model": None if result.width is None else str(result.width),
        "learning rate": None if result.lr is None else f"{result.lr:g}",
        "behind its control": None if result.gap is None else f"{result.gap:+.3f} BPB",
        "scores of all seeds": ", ".join(f"s{seed} {score}" for seed, score in scores.items()) or None,
        "shard": result.shard,
    }
    if result.baseline is not None:
        facts["since the baseline"] = _text(result.baseline.get("because") or result.baseline.get("change"))
    return [[name, printable(text)] for name, text in facts.items() if text is not None]


def _pairs(evidence: Mapping[str, Any]) -> list[list[str]]:
    return [
        [_named(name), printable_lines(_text(value))]
        for name, value in evidence.items()
        if name not in _APART
    ]


def environment(result: CellResult) -> list[list[str]]:
    """The libraries, the machine and the text of a cell."""
    corpus = {"corpus": result.corpus.get("name"), "SHA-256 of the corpus": result.corpus.get("sha256")}
    pairs = {**result.environment, **corpus, "quantgate": result.quantgate, "steps": result.steps}
    return [
        [printable(str(name)), printable(_text(value))] for name, value in pairs.items() if value is not None
    ]


def _text(value: Any) -> str:
    """A value of the evidence in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return plain(f"{value:.4g}")
    if isinstance(value, Mapping):
        return _joined([f"{name}: {_text(each)}" for name, each in value.items()])
    if isinstance(value, list | tuple):
        return _joined([_text(each) for each in value])
    return "none" if value is None else str(value)


def _joined(texts: Sequence[str]) -> str:
    """Words in a row; sentences on a line each."""
    return ("\n" if any(text.endswith(".") for text in texts) else "; ").join(texts)


def _baseline(result: CellResult) -> list[list[Any]] | None:
    """The steps and scores of the accepted run's curve; None where there is none, or it is no curve."""
    curve = None if result.baseline is None else result.baseline.get("curve")
    if not isinstance(curve, list | tuple) or not curve:
        return None
    try:
        return [
            [int(step) for step, _ in curve],
            [None if score is None else _round(score) for _, score in curve],
        ]
    except (TypeError, ValueError):
        return None


def _tensors(weights: Sequence[Mapping[str, Any]], share: _Shared, *, whole: bool) -> dict[str, Any]:
    names = [name for name in (weights[0] if whole else _COLUMNS) if name not in {"tensor", "step"}]
    step = weights[0].get("step")
    is_one = isinstance(step, int) and all(each.get("step") == step for each in weights)
    return {
        **({"moment": step} if is_one else {}),
        "columns": share([_named(name) for name in names]),
        "tensors": share([printable(str(each.get("tensor"))) for each in weights]),
        "rows": [[_three(each.get(name)) for name in names] for each in weights],
    }


def _round(score: float | None) -> float | None:
    return None if score is None or not math.isfinite(score) else round(score, 4)


def _three(value: Any) -> Any:
    """Three digits of a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None if value is None else printable(_text(value))
    if not math.isfinite(value):
        return str(value)
    short = float(f"{value:.3g}")
    return int(short) if short.is_integer() and abs(short) < 1e6 else short


def to_script(value: Any) -> str:
    """JSON that stands between the tags of a script: nothing in it ends the script or begins a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text
