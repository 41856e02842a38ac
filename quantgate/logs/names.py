"""Names in logs: which column is which, and what the name of a run says of its cell."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from types import MappingProxyType

#: What a column may be: what identifies a run, its time, and the sample.
ROLES = ("name", "format", "optimizer", "seed", "width", "lr", "sha", "run", "ts", "step", "bpb")

#: The names that common loggers give a column, the likeliest first. Held-out scores come before training losses, and
#: scores that say bits before those that, by convention, are nats.
USUAL: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "name": ("canon_name", "run_name", "exp_name", "experiment_name", "name", "tag"),
        "format": ("format", "fmt", "subject", "dtype", "number_format"),
        "optimizer": ("optimizer", "algo", "opt", "optim"),
        "seed": ("seed", "rng", "rng_seed"),
        "width": ("width", "hidden", "hidden_size", "d_model", "n_embd"),
        "lr": ("base_lr", "peak_lr"),
        "sha": ("sha", "git_sha", "commit"),
        "run": ("run_id", "run", "wandb_run_id"),
        "ts": ("ts", "timestamp", "created_at", "_timestamp", "Wall time", "wall_time", "time"),
        "step": (
            *("step", "iter", "iteration", "global_step", "steps", "it", "update", "num_updates", "_step"),
            *("trainer/global_step", "train/global_step"),
        ),
        "bpb": (
            *("val_bpb", "eval_bpb", "test_bpb", "bpb", "bits_per_byte", "val_bpc", "bpc", "bits_per_char"),
            *("val_loss", "eval_loss", "valid_loss", "validation_loss", "val/loss", "eval/loss", "loss/val"),
            *(
                "test_loss",
                "loss",
                "train_loss",
                "train/loss",
                "loss/train",
                "training_loss",
                "Value",
                "value",
            ),
        ),
    }
)
#: What one row of a table of results holds: the best score of a cell, without its step.
BEST = ("best_bpb", "min_bpb", "best_val_bpb", "final_bpb")

#: Columns that name a run where none of the usual names is there. Two of them name it together; more may be anything.
LIKELY = ("experiment", "exp", "model", "model_name", "trial", "trial_id", "job", "job_id", "id", "uuid")

#: Hugging Face's folder of a run's state after so many steps.
CHECKPOINT = re.compile(r"checkpoint-(\d+)")
_BITS = re.compile(r"bpb|bpc|bits")
_NUMBER = r"\d+(?:\.\d+)?(?:e[+-]?\d+)?"
#: `IGLA-{LANE}-{format}-h{width}-LR{lr}-rng{seed}-{optimizer}`; a lane may hold dashes.
_FLEET = re.compile(
    r"IGLA-(?P<lane>.+?)-(?P<format>[^-/]+)-h(?P<width>\d+)-LR(?P<lr>" + _NUMBER + r"|default)"
    r"-rng(?P<seed>\d+)-(?P<optimizer>[A-Za-z0-9_]+)"
)
#: `{format}-{optimizer}-s{seed}[-w{width}]`, the cells of this package's own tests.
_CELL = re.compile(
    r"(?P<format>[A-Za-z0-9_.]+)-(?P<optimizer>[A-Za-z0-9_]+)-s(?P<seed>\d+)(?:-w(?P<width>\d+))?(?![A-Za-z0-9])"
)
#: The names that float32 goes by, and the libraries that may stand before one.
_FLOAT32 = ("fp32", "f32", "float32")
_LIBRARIES = ("torch", "jax", "jnp", "numpy", "np", "tf", "mlx", "mx", "dtype")
_WORDS = {
    "format": re.compile(
        r"(?<![a-z0-9])(?:(?:mx|nv)?(?:fp|bf|float|bfloat|f|e|u?int|gf|nf|posit|uint)\d+(?:[_-]?e\d+m\d+)?|tf32|e\d+m\d+)"
        r"(?![a-z0-9])"
    ),
    "optimizer": re.compile(
        r"(?<![a-z0-9])(adamw|adam|adafactor|adagrad|sgd|muon|lion|lamb|rmsprop|sophia|shampoo|soap)(?![a-z0-9])"
    ),
    "seed": re.compile(r"(?<![a-z0-9])(?:seed|rng)[_-]?(\d+)(?![a-z0-9])"),
}


@dataclass(frozen=True)
class Key:
    """What identifies a run, as text; what is not known is empty."""

    name: str = ""
    format: str = ""
    optimizer: str = ""
    seed: str = ""
    width: str = ""
    lr: str = ""
    sha: str = ""
    run: str = ""

    @property
    def cell(self) -> Key:
        """The cell that it is a run of: what does not change from commit to commit."""
        return Key(self.name, self.format, self.optimizer, self.seed, self.width, self.lr)

    @property
    def label(self) -> str:
        """What it is called: its name, or what else is known of it."""
        known = (self.format, self.optimizer, self.width and f"h{self.width}", self.lr and f"LR{self.lr}")
        return self.name or "-".join(filter(None, (*known, self.seed and f"s{self.seed}")))


KEY = tuple(Key.__dataclass_fields__)


def completed(key: Key) -> Key:
    """The key, what is empty in it taken from its name: in the fleet's form, or by its words."""
    said = _FLEET.search(key.name) or _CELL.search(key.name)
    found = _by_words(key.name) if said is None else {k: v for k, v in said.groupdict().items() if v}
    return Key(**{role: getattr(key, role) or found.get(role, "") for role in KEY})


def stem(key: Key) -> str:
    """What is left of a name without its format: runs of one trainer share it."""
    return _WORDS["format"].sub(
        "", key.name.lower().replace(key.format.lower(), "") if key.format else key.name
    )


def _by_words(name: str) -> dict[str, str]:
    """What the words of a name say; of two formats, the one that is not float32, and of others none."""
    found: dict[str, str] = {}
    for role, words in _WORDS.items():
        seen = {match[match.re.groups] for match in words.finditer(name.lower())}
        if role == "format" and len(seen) > 1:
            seen -= set(_FLOAT32)
        if len(seen) == 1:
            found[role] = seen.pop()
    return found


def says_float32(format: str) -> bool:
    """Whether a format is float32 by its name: `FP32`, `torch.float32`, `F32-adamw`; `fp32_int8` is another."""
    words = re.split(r"[^a-z0-9]+", _WORDS["optimizer"].sub("", format.lower()))
    left = {word for word in words if word and word not in _LIBRARIES}
    return bool(left) and left <= set(_FLOAT32)


def says_bits(column: str) -> bool:
    """Whether a column's name says that its scores are bits; a loss is in nats by convention."""
    return _BITS.search(column.lower()) is not None


def find_columns(there: Collection[str], given: Mapping[str, str]) -> dict[str, str]:
    """The column of each role: the given one, or the likeliest of those that are there. A column has one role alone.

    Raises:
        ValueError: A given column is not there.
    """
    lower = {name.lower(): name for name in reversed(list(there))}
    found = {}
    for role, column in given.items():
        if column.lower() not in lower:
            raise ValueError(
                f"no column {column!r} for {role!r}; there are {', '.join(sorted(there)) or 'none'}"
            )
        found[role] = lower.pop(column.lower())
    for role in ROLES:
        usual = next((usual for usual in USUAL[role] if usual.lower() in lower), None)
        if role not in found and usual is not None:
            found[role] = lower.pop(usual.lower())
    return {role: found[role] for role in ROLES if role in found}


def find_run_columns(there: Collection[str], given: Mapping[str, str]) -> dict[str, str]:
    """As `find_columns`, for logs of many runs: what tells runs apart names them, where no column of names does.

    Raises:
        ValueError: A given column is not there, or several may name the runs.
    """
    found = find_columns(there, given)
    left = {name.lower(): name for name in there if name not in found.values()}
    if "name" in found:
        return found
    likely = [left[name] for name in LIKELY if name in left]
    if "format" in found:
        if "run" not in found and len(likely) == 1 and likely[0].lower() not in ("id", "uuid"):
            found["run"] = likely[0]
        return found
    if "run" in found:
        found["name"] = found.pop("run")
        return found
    if len(likely) > 2:
        raise ValueError(
            f"the columns {', '.join(likely)} may each name a run; say which does: --columns name=COLUMN, and with two "
            "of them name=COLUMN,run=COLUMN."
        )
    return {**found, **dict(zip(("name", "run"), likely, strict=False))}


def without_last_tests(there: Sequence[str], rows: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """The columns of a table without those of a test that is taken once, after a training that another one scores.

    Args:
        there: The columns.
        rows: The fields of some rows.
    """
    scores = [place for place, name in enumerate(there) if name.lower() in USUAL["bpb"]]
    counts = Counter(place for row in rows for place in scores if place < len(row) and row[place].strip())
    once = {place for place in scores if there[place].lower().startswith("test") and counts[place] <= 1}
    if all(counts[place] <= 1 for place in scores):
        return tuple(there)
    return tuple(name for place, name in enumerate(there) if place not in once)


def best_column(there: Iterable[str]) -> str | None:
    """The column of best scores, in a table of results."""
    return next((name for name in there if name.lower() in BEST), None)


def parse_columns(text: str) -> dict[str, str]:
    """`step=iter,bpb=val_bpb` as a mapping from roles to columns.

    Raises:
        ValueError: It is malformed, or a role is none.
    """
    given = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        role, equals, column = part.partition("=")
        if not equals or not column or role not in ROLES:
            raise ValueError(
                f"--columns {part!r}: write role=column, with the roles {', '.join(ROLES)}; "
                "such as --columns step=iter,bpb=val_bpb"
            )
        given[role] = column
    return given


def short_names(paths: Iterable[str]) -> dict[str, str]:
    """A name for each file: its own, with as many folders before it as tell it from the others."""
    left = {path: _stem_parts(path) for path in paths}
    names: dict[str, str] = {}
    for many in range(1, max(map(len, left.values()), default=0) + 1):
        shown = {path: "/".join(parts[-many:]) for path, parts in left.items()}
        times = Counter(shown.values())
        for path, name in shown.items():
            if times[name] == 1:
                names.setdefault(path, name)
            elif many >= len(left[path]):  # they differ in their ending alone
                names.setdefault(path, path)
        left = {path: parts for path, parts in left.items() if path not in names}
    return names


def _stem_parts(path: str) -> list[str]:
    parts = list(PurePath(path).parts)
    # Only what says how a file is written; `int8.v2` keeps its version.
    parts[-1] = re.sub(r"(\.(jsonl|ndjson|json|csv|tsv|parquet|log|txt|out))?(\.(gz|zst))?$", "", parts[-1])
    if parts[-1] == "trainer_state" and len(parts) > 1:  # Hugging Face's, which is called so in every run
        parts.pop()
        if CHECKPOINT.fullmatch(parts[-1]) and len(parts) > 1:
            parts.pop()
    return parts
