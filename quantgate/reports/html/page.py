"""The page of a run: one file that holds its style, its script and its data, and asks for nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from quantgate.reports import terminal
from quantgate.reports.blocks.line import Line
from quantgate.reports.blocks.setting import lines as limit_lines
from quantgate.reports.blocks.setting import training
from quantgate.reports.html.data import data, fragment, to_script
from quantgate.reports.html.matrix import matrix
from quantgate.reports.html.phrases import coded, environments, titled, varied
from quantgate.reports.story import INVALID, Story, by_cause, not_excused, rerun, short, title
from quantgate.reports.text import printable
from quantgate.reports.words.commands import Files
from quantgate.reports.words.headline import counted, headline

#: Beyond so much data the tensors of the cells that pass are left out.
MOST_BYTES = 8_000_000
#: Causes and subjects of a cause that are shown.
_CAUSES, _SUBJECTS = 30, 12


def page(story: Story) -> str:
    """The run as HTML."""
    script = to_script(data(story))
    brief = len(script.encode()) > MOST_BYTES
    if brief:
        script = to_script(data(story, brief=True))
    style, code = _asset("style.css"), _asset("chart.js") + _asset("report.js")
    groups = by_cause(story.failing)
    return _template().render(
        style=Markup(style),
        code=Markup(code),
        policy=f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(code)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'",
        data=Markup(script),
        headline=headline(story),
        titled=titled(headline(story), story),
        state=_state(story),
        story=story,
        facts=_facts(story),
        groups=groups[:_CAUSES],
        more_groups=groups[_CAUSES:],
        subjects=_SUBJECTS,
        matrix=matrix(story),
        verdicts=sorted({str(each.verdict) for each in story.results}),
        remarks=["".join(piece for piece, _ in line) for line in _remarks(story)],
        environments=environments(story),
        coded=coded,
        varied=varied,
        compared=any(each.baseline for each in story.results),
        brief=brief,
        files=Files.of(story.run),
        rerun=lambda result: rerun(result, story.run),
        fragment=fragment,
        not_excused=not_excused,
        short=short,
        breakable=_breakable,
        title=title,
        places={id(each): place for place, each in enumerate(story.results)},
        id=id,
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("quantgate.reports.html", package_path="."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else printable(str(value)),
    )
    return environment.get_template("report.html.j2")


@cache
def _asset(name: str) -> str:
    return files("quantgate.reports.html").joinpath(name).read_text("utf-8")


def _digest(text: str) -> str:
    """A source of the page's content security policy: this text alone, as it stands between its tags."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _breakable(name: str) -> Markup:
    """A name that may be broken where its words end, and not in the middle of one."""
    return Markup("<wbr>").join(escape(part) for part in re.split(r"(?<=[._:/@-])(?=\w)", printable(name)))


def _state(story: Story) -> str:
    if story.run.exit_status == INVALID:
        return "invalid"
    if story.fails:
        return "failed"
    return "passed" if story.run.state == "finished" else "unfinished"


def _facts(story: Story) -> list[tuple[str, str]]:
    shown = [*story.results, *story.controls]
    run = story.run
    return [
        ("Cells", counted(story)),
        ("Controls", terminal.control_line(story.controls)),
        *([("Training", training(shown))] if any(each.steps is not None for each in shown) else []),
        ("Bits per byte (BPB)", limit_lines(run.limits, shown)),
        *([("Ended", run.finished.replace("T", " ").replace("Z", " UTC"))] if run.finished else []),
    ]


def _remarks(story: Story) -> list[Line]:
    return [*terminal.remarks(story.results), *terminal.close_calls(story.results)]
