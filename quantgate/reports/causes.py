"""Causes and the rules that name them in words, made from their records."""

from __future__ import annotations

from quantgate.diagnosis.causes import CAUSES
from quantgate.diagnosis.diagnose import RULES
from quantgate.diagnosis.rule import Rule
from quantgate.reports.blocks.screen import folded


def cause_text(name: str) -> str:
    """What `quantgate explain` says of a cause: what it is, how it looks, how it is mended, and what names it.

    Raises:
        KeyError: There is no such cause.
    """
    cause = CAUSES[name]
    lines = [f"{cause.name}: {cause.summary}"]
    if cause.looks:
        lines += ["", f"How it looks: {cause.looks}"]
    lines += ["", f"How to mend it: {cause.hint}"]
    if rules := [rule for rule in RULES if rule.cause == name]:
        lines += ["", "What names it:"]
    for rule in rules:
        lines += [f"- {measures(rule)}", f"  flagged: {flagged(rule)}", f"  measured: {measured(rule)}"]
    if cause.seen:
        lines += ["", f"Seen in: {', '.join(cause.seen)}."]
    return "\n".join(lines)


def rules_table() -> str:
    """Every rule as a line of a Markdown table, in the order in which they are asked."""
    head = ("cause", "what is measured", "flagged when", "the measurement behind the line")
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for rule in RULES:
        cells = (f"`{rule.cause}`", measures(rule), flagged(rule), measured(rule))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def rules_text(width: int) -> str:
    """Every rule as a block, in the order in which they are asked, for a screen of so many columns."""
    head = (
        f"{len(RULES)} rules, in the order in which they are asked. Of each: its cause; what is measured; `flagged`, "
        "where the line is; `measured`, what set that line."
    )
    blocks = [
        f"{rule.cause}\n  {measures(rule)}\n  flagged: {flagged(rule)}\n  measured: {measured(rule)}"
        for rule in RULES
    ]
    return "\n\n".join([folded(head, width), *(folded(block, width) for block in blocks)])


def measures(rule: Rule) -> str:
    """What a rule measures."""
    return rule.measures.format(*rule.limits)


def flagged(rule: Rule) -> str:
    """When a rule finds something, with its limits."""
    said = rule.flagged.format(*rule.limits)
    return said if rule.severity == "fault" else f"as a warning: {said}"


def measured(rule: Rule) -> str:
    """The measurements that set the limits of a rule."""
    return "; ".join(limit.measured for limit in rule.limits) or rule.measured
