"""Which cause comes first: what a person would mend first, before what follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from quantgate.diagnosis.evidence import Finding

#: What each cause brings about, so that it is said before them. Tested to have no circle.
EXPLAINS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        cause: frozenset(explained.split())
        for cause, explained in {
            "scale-zero": "non-finite",
            "optimizer-state": "update-swallowed",
            "orphaned-parameter": "update-swallowed",
            "update-swallowed": "no-op",
            "no-op": "partly-applied too-many-levels",
            "partly-applied": "scale-misplaced too-many-levels",
            "overflow-wrapped": "sign-lost not-monotonic scale-stale too-many-levels range-collapsed "
            "rounding-biased not-dequantized gradient-wrong qparams-invalid",
            "not-dequantized": "sign-lost non-finite scale-stale range-collapsed gradient-misscaled "
            "rounding-biased",
            "range-collapsed": "clip-gradient-lost gradient-blocked",
            "sign-lost": "range-collapsed scale-stale rounding-biased not-monotonic",
            "scale-misplaced": "scale-stale range-collapsed not-monotonic",
            "scale-stale": "clip-gradient-lost too-many-levels",
            "qparams-invalid": "scale-stale range-collapsed sign-lost non-finite gradient-wrong gradient-misscaled",
            "wrong-table": "not-monotonic rounding-biased",
            "not-monotonic": "rounding-biased scale-stale range-collapsed",
            "rounding-not-random": "rounding-biased",
            "rounding-biased": "train-deploy-mismatch scale-stale",
            "gradient-blocked": "clip-gradient-lost gradient-wrong gradient-misscaled",
            "gradient-wrong": "clip-gradient-lost gradient-misscaled",
            "grad-format": "gradient-misscaled gradient-blocked",
        }.items()
    }
)


def ordered(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings with each explained one after what explains it, and warnings last unless they explain a fault.

    Args:
        findings: In the order of the rules, which is kept otherwise.
    """
    left, sorted_ones = list(findings), []
    while left:
        ready = [each for each in left if not any(_explains(other, each) for other in left)]
        chosen = min(ready, key=lambda each: not (each.blames or _is_behind(each, left)))
        sorted_ones.append(chosen)
        left.remove(chosen)
    return tuple(sorted_ones)


def _is_behind(warning: Finding, others: Sequence[Finding]) -> bool:
    return any(_explains(warning, other) and other.blames for other in others)


def _explains(one: Finding, other: Finding) -> bool:
    """Whether the other follows from the one; what is there at the start does not follow from what comes later."""
    return other.cause in EXPLAINS.get(one.cause, frozenset()) and one.step <= other.step
