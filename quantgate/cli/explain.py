"""`quantgate explain`: a cause, a verdict or a term in words; the rules, and what the gate catches and misses."""

from __future__ import annotations

import argparse
import difflib
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.resources import files

from quantgate.cli.status import EXIT_OK
from quantgate.diagnosis.causes import CAUSES
from quantgate.diagnosis.glossary import TERMS, VERDICTS
from quantgate.reports.blocks.screen import folded, laid_out
from quantgate.reports.causes import cause_text, rules_table, rules_text

_WIDTH = 80
#: Beyond so many columns lines are hard to read.
_WIDEST = 100
_NAME_WIDTH = 26
_CANONICAL = "canonical name"
#: Keys of records that are terms.
_ALIASES = {"canon_name": _CANONICAL}
#: How like a name must be to be meant; `foo` and `no-op` are 0.5, a word with a letter wrong or left out 0.8 and more.
_NEAR = 0.7


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    explain = commands.add_parser(
        "explain",
        help="a cause, a verdict or a term in words; `rules`: what is measured; `power`: what is caught",
    )
    explain.add_argument(
        "name", metavar="NAME", nargs="*", help="without it, every name in a line; of several words as it is"
    )
    explain.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Print one name at length, or all in a line each."""
    name = " ".join(options.name)
    if not name:
        print("\n".join(_listed()))
        return EXIT_OK
    asked = _CANONICAL if name.upper().startswith("IGLA-") else name.lower()
    found = _texts().get(asked)
    if found is None:
        raise ValueError(_unknown(name))
    print(found())
    return EXIT_OK


def _screen() -> int | None:
    """The columns of the screen that somebody reads it on; None where a program does, which gets a line a thing."""
    return min(shutil.get_terminal_size().columns, _WIDEST) if sys.stdout.isatty() else None


def _texts() -> dict[str, Callable[[], str]]:
    """What can be explained, by its name in small letters. `no-op` is a verdict and a cause: both are said."""
    texts: dict[str, Callable[[], str]] = {"rules": _rules, "power": _power}
    for words in (TERMS, VERDICTS):
        texts |= {name.lower(): partial(_defined, name, words) for name in words}
    texts |= {name: partial(_cause, name) for name in CAUSES}
    return texts | {alias: texts[name] for alias, name in _ALIASES.items()}


def _defined(name: str, words: Mapping[str, str]) -> str:
    kind = "verdict" if words is VERDICTS else "term"
    return textwrap.fill(f"{name} ({kind}): {words[name]}", _WIDTH, break_on_hyphens=False)


def _cause(name: str) -> str:
    text, width = cause_text(name), _screen()
    said = text if width is None else folded(text, width)
    return "\n\n".join([*([_defined(name, VERDICTS)] if name in VERDICTS else []), said])


def _rules() -> str:
    width = _screen()
    return rules_table() if width is None else rules_text(width)


def _power() -> str:
    """The measurements as the package holds them: what is red, what is blamed wrongly, and what is not seen."""
    text, width = files("quantgate").joinpath("faults", "README.md").read_text("utf-8").rstrip(), _screen()
    return text if width is None else laid_out(text, width)


def _listed() -> Iterator[str]:
    kinds = {
        "Verdicts": VERDICTS,
        "Causes": {name: cause.summary for name, cause in CAUSES.items()},
        "Terms": TERMS,
        "More": {
            "rules": "What is measured, where each line is, and the measurement behind it.",
            "power": "What the gate catches and misses, with tables.",
        },
    }
    for place, (kind, words) in enumerate(kinds.items()):
        yield from ([""] if place else [])
        yield kind
        for name, text in words.items():
            head = f"  {name:<{_NAME_WIDTH}}  "
            first = text.partition(". ")[0].rstrip(".")
            yield textwrap.fill(
                f"{first}.", _WIDTH, initial_indent=head, subsequent_indent=" " * (_NAME_WIDTH + 4)
            )


def _unknown(name: str) -> str:
    texts = _texts()
    near = difflib.get_close_matches(name.lower().replace("_", "-"), texts, n=1, cutoff=_NEAR)
    if near:
        return f"unknown cause, verdict or term {name!r}; did you mean {near[0]!r}?"
    found = ", ".join(
        f"{len(words)} {kind} ({', '.join(list(words)[:3])} and more)"
        for kind, words in (("verdicts", VERDICTS), ("causes", CAUSES), ("terms", TERMS))
    )
    more = "rules and power: `quantgate explain` lists all"
    return f"unknown cause, verdict or term {name!r}; there are {found}, {more}"
