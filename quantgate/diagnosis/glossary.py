"""The words that the gate uses, explained: its verdicts and its terms, a sentence or two each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

#: By the names of `records.verdict.Verdict`, in its order.
VERDICTS: Mapping[str, str] = MappingProxyType(
    {
        "learns": "Below 6.5 BPB at the end, no farther behind its float32 control than the tolerance for its bits and "
        "optimizer, and no probe found a fault. This alone passes, with warnings or without.",
        "healthy": "Only the probes were asked (assert_healthy, `quantgate doctor`), and none found a fault. What only "
        "a whole curve shows was not seen.",
        "faulty": "It learns, and a probe found a fault that the curve hides: a gradient that only an adaptive "
        "optimizer forgives, a layer that is not quantized, more levels than its bits have.",
        "lags": "It learns, and ends behind its float32 control by more than the tolerance. A format may state its own "
        "with gap_tolerance=.",
        "partial": "From 6.5 BPB to below 6.9: it learned something, and stopped early.",
        "dead": "6.9 BPB and more: chance, which is log2(128) = 7. The body of the model gives nothing, or nothing "
        "moves.",
        "diverged": "A loss, a gradient or a weight is no finite number, or the BPB rose by more than 0.5.",
        "no-op": "Every tensor came back unchanged, or the curve is float32's bit for bit, and the format is not "
        "declared lossless: what is called low precision is float32.",
        "rejected": "It breaks its contract: another shape or dtype, its input changed in place, or other results "
        "under the same seed of torch.",
        "crashed": "Its code raised an exception, or its process died. No other cell is lost with it.",
        "timeout": "It did not end within its time, 60 s unless pytest-timeout says otherwise.",
        "unjudged": "Nothing is said of it: the run is invalid, since a control did not learn or a negative control "
        "did, or the run ended before its turn.",
    }
)

TERMS: Mapping[str, str] = MappingProxyType(
    {
        "format": "How numbers are stored, int4 or fp8_e4m3 say. A format of your own is registered with "
        "register_format.",
        "codec": "The two halves of a format: encode turns float32 into codes, decode turns them back.",
        "fake-quantize": "Float32 in, float32 on the grid of the format out, so that training sees the rounding "
        "without the storage. Its backward is most often the straight-through estimator.",
        "straight-through estimator": "The backward that passes the gradient as if nothing had been rounded, since "
        "round() itself has a gradient of 0: x + (q(x) - x).detach().",
        "recipe": "A function that takes a model and returns one that trains in low precision, as the libraries of "
        "quantization-aware training have. Registered with register_recipe.",
        "subject": "What is judged: a format, a recipe or a trainer in another language.",
        "cell": "One training: subject x optimizer x seed x width, with its storage and scope. A test id is a cell: "
        "int4-adamw-s47.",
        "control": "The float32 cell of the same optimizer, seed and width. One that does not learn makes the run "
        "invalid: the machine or the settings are at fault, not the formats.",
        "negative control": "A cell that is broken on purpose (a dead body, a zero gradient, a flipped sign). It is "
        "trained in every run, which is invalid where it learns: a gate that cannot fail proves nothing.",
        "finding": "What a probe says: a fault, which is red, or a warning, which is said and passes. A probe that "
        "did not run is not measured, and says so.",
        "cause": "The class of a fault, gradient-blocked say, with the evidence that named it and the next step. "
        "waive= excuses one, with a reason that is shown.",
        "BPB": "Bits per byte on held-out text: the mean of -log2 of the probability that the model gives to the next "
        "byte. Lower is better; 7 is chance on 128 symbols.",
        "close call": "A score within 0.1 BPB of 6.5, or a gap within 20% of the tolerance. Two more seeds are then "
        "trained, and the median of the three judges.",
        "known failure": "A cell that may fail, by the cause and for the reason that a file gives, until a date "
        "perhaps. Strict: one that passes, or fails by another cause, is red.",
        "baseline": "The scores of an earlier run (--quantgate-baseline). A cell that got worse than its lane allows "
        "is red even where it still learns.",
        "canonical name": "The name that the fleet this gate was made for gives a run, canon_name in records and "
        "tables: IGLA-TIER1-GATE-int8-h64-LR0.0002-rng47-adamw is of the lane TIER1-GATE, format int8, width 64, "
        "rate 0.0002, seed 47 and optimizer adamw. IGLA is that fleet's own word. Nothing asks you for such names: "
        "`quantgate history` takes them beside the id int8-adamw-s47, and a log may call its runs what it likes.",
        "lane": "A group of trainings that are held against the same limits. There are three kinds. Of "
        "the matrix: the cells of 100 steps, or `long`, those of 2,000 with limits of their own. Of a baseline: a "
        "comparison on the same machine and versions (exact), on others (portable) or with another seed (statistical), "
        "each with its own tolerance. In a canonical name: the second part, which tells whose runs they are.",
        "ramp": "An input of the probes whose values rise in even steps over the whole range of a quantizer. What "
        "comes back of it shows whether larger values stay larger, how many distinct values there are, and where the "
        "bins meet.",
        "shard": "A part of the matrix for one of several machines (--quantgate-shard 2/8, or auto). `quantgate "
        "merge` puts their reports together and says what is missing.",
    }
)
