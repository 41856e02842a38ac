"""Lines of text: a pattern says where the step and the score stand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from quantgate.logs.names import ROLES

#: What stands where there is no number: Python's, Rust's and JSON's words, Fortran's asterisks, older C's `1.#QNAN`.
_NO_NUMBER = r"(?i:none|null|n/a)\b|\*+|[-+]?\d?\.?#\w+"
_NUMBER = rf"(?:{_NO_NUMBER}|[-+]?(?:\d[\d_,]*\.?\d*(?:[eE][-+]?\d+)?|\.\d+|(?i:nan|inf(?:inity)?)))"
_FIELDS = {"step": r"\d[\d_,]*", "bpb": _NUMBER, "loss": _NUMBER, "seed": r"\d+", "width": r"\d+"}

#: Patterns of common loggers by name, in the order in which they are tried; a held-out score comes first.
LOGGERS: Mapping[str, str] = MappingProxyType(
    {
        "fleet": "seed={seed} step={step} val_bpb={bpb}",
        "fleet-short": "step={step} val_bpb={bpb}",
        "fleet-bpb": "step={step} bpb={bpb}",
        "nanogpt": "step {step}: train loss {*}, val loss {loss}",
        "nanochat": "Step {step} | Validation bpb: {bpb}",
        "llm.c": "step {step}/{*} | val loss {loss}",
        "llm.c-train": "step {step}/{*} | {*}loss {loss}",
        "nanogpt-iter": "iter {step}: loss {loss}",
        "key-value": "step={step} loss={loss}",
        "key-value-colon": "step: {step}, loss: {loss}",
    }
)
_FIELD = re.compile(r"\{([a-z_*]*)\}")


def roles(pattern: str) -> tuple[str, ...]:
    """The fields of a pattern, in their order; `{loss}` is a score too, in nats by convention."""
    return tuple(field for field in _FIELD.findall(pattern) if field != "*")


def to_regex(pattern: str) -> str:
    """A regular expression, of RE2 and of Python alike, with a group for each role in its order.

    Blanks stand for any number of blanks, and `{*}` for anything.

    Raises:
        ValueError: A field is no role or stands twice, or the step or the score is missing.
    """
    found = roles(pattern)
    for field in found:
        if field not in (*ROLES, "loss"):
            raise ValueError(
                f"--pattern: unknown field {{{field}}}; known are {', '.join(ROLES)}, loss and {{*}}"
            )
        if found.count(field) > 1:
            raise ValueError(f"--pattern: {{{field}}} stands twice; write {{*}} for what is not needed")
    for field, there in (("step", "step" in found), ("bpb", "bpb" in found or "loss" in found)):
        if not there:
            raise ValueError(
                f"--pattern {pattern!r} has no {{{field}}}; such as 'seed={{seed}} step={{step}} val_bpb={{bpb}}', "
                f"or a logger by name: {', '.join(LOGGERS)}"
            )
    parts = []
    # Every other part is the name of a field.
    for place, part in enumerate(_FIELD.split(pattern)):
        if place % 2 == 0:
            parts.append(r"\s+".join(map(_literal, re.split(r"\s+", part))))
        else:
            parts.append(".*?" if part == "*" else f"({_FIELDS.get(part, _TEXT)})")
    return "".join(parts)


_TEXT = r"[^\s,;|]+"


def _literal(text: str) -> str:
    return re.sub(r"([^A-Za-z0-9_\s])", r"\\\1", text)


def recognize(lines: Sequence[str]) -> str | None:
    """The pattern of the first logger that some line was written by; None where none was."""
    for pattern in LOGGERS.values():
        expression = re.compile(to_regex(pattern))
        if any(expression.search(line) for line in lines):
            return pattern
    return None
