"""What each option does to the tests that are collected; nothing is trained and no torch is needed."""

from __future__ import annotations

import pytest

from tests.plugin.project import TEST_LEARNS

DEFAULT_IDS = ["int4-adamw-s47", "int4-sgd-s47"]
#: What every run of this file is given, unless it is what the test is about.
BASE = {"formats": "int4", "optimizers": "adamw,sgd"}

#: Option -> (value, ids that are then collected), or the change to BASE that makes the effect small enough.
EFFECTS = {
    "formats": ("nf4,int8", ["nf4-adamw-s47", "nf4-sgd-s47", "int8-adamw-s47", "int8-sgd-s47"]),
    "optimizers": ("muon", ["int4-muon-s47"]),
    "seeds": ("7,89", ["int4-adamw-s7", "int4-sgd-s7", "int4-adamw-s89", "int4-sgd-s89"]),
    "widths": ("64,32", ["int4-adamw-s47", "int4-sgd-s47", "int4-adamw-s47-w32", "int4-sgd-s47-w32"]),
    "storage": ("inplace", ["int4-adamw-s47-inplace", "int4-sgd-s47-inplace"]),
    "scope": ("weights+activations", ["int4-adamw-s47-wa", "int4-sgd-s47-wa"]),
    "shard": ("2/2", ["int4-sgd-s47"]),
    "matrix": (
        "nightly",
        [
            f"int4-{optimizer}-s{seed}{width}"
            for width in ("", "-w128")
            for seed in (47, 89, 123)
            for optimizer in ("adamw", "sgd")
        ],
    ),
}


def collected(result: pytest.RunResult) -> list[str]:
    return [line.partition("[")[2].rstrip("]") for line in result.outlines if "::test_learns[" in line]


def flags(options: dict[str, str]) -> list[str]:
    return [f"--quantgate-{name}={value}" for name, value in options.items()]


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(TEST_LEARNS)
    return pytester


@pytest.mark.parametrize("option", EFFECTS)
def test_on_the_command_line(suite: pytest.Pytester, mode: tuple[str, ...], option: str) -> None:
    value, ids = EFFECTS[option]
    options = {**BASE, option: value}
    result = suite.runpytest_inprocess("--collect-only", "-q", *mode, *flags(options))
    assert result.ret == 0
    assert collected(result) == ids


@pytest.mark.parametrize("option", EFFECTS)
def test_in_the_environment(
    suite: pytest.Pytester, mode: tuple[str, ...], option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    value, ids = EFFECTS[option]
    monkeypatch.setenv(f"QUANTGATE_{option.upper()}", value)
    others = {name: given for name, given in BASE.items() if name != option}
    result = suite.runpytest_inprocess("--collect-only", "-q", *mode, *flags(others))
    assert result.ret == 0
    assert collected(result) == ids


@pytest.mark.parametrize("option", EFFECTS)
def test_in_the_ini_file(suite: pytest.Pytester, mode: tuple[str, ...], option: str) -> None:
    value, ids = EFFECTS[option]
    suite.makeini(f"[pytest]\nquantgate_{option} = {value}\n")
    others = {name: given for name, given in BASE.items() if name != option}
    result = suite.runpytest_inprocess("--collect-only", "-q", *mode, *flags(others))
    assert result.ret == 0
    assert collected(result) == ids


def test_precedence_is_ini_environment_command_line_marker(
    suite: pytest.Pytester, mode: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.makeini("[pytest]\nquantgate_formats = int4\nquantgate_optimizers = sgd\n")
    ini = suite.runpytest_inprocess("--collect-only", "-q", *mode)
    monkeypatch.setenv("QUANTGATE_FORMATS", "nf4")
    environment = suite.runpytest_inprocess("--collect-only", "-q", *mode)
    command_line = suite.runpytest_inprocess("--collect-only", "-q", *mode, "--quantgate-formats", "int8")
    suite.makepyfile(
        "import pytest\n@pytest.mark.lowbit(formats='bf16', seeds=[47, 7])\ndef test_learns(lowbit_cell): ..."
    )
    marker = suite.runpytest_inprocess("--collect-only", "-q", *mode, "--quantgate-formats", "int8")
    assert [collected(each) for each in (ini, environment, command_line, marker)] == [
        ["int4-sgd-s47"],
        ["nf4-sgd-s47"],
        ["int8-sgd-s47"],
        ["bf16-sgd-s47", "bf16-sgd-s7"],
    ]


def test_an_empty_environment_variable_is_no_value(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUANTGATE_FORMATS", "")
    result = suite.runpytest_inprocess("--collect-only", "-q", *flags({**BASE, "formats": "int4"}))
    assert collected(result) == DEFAULT_IDS


def test_a_marker_on_a_class_and_on_the_module_counts(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest
        pytestmark = pytest.mark.lowbit(optimizers=["adamw"], formats=["int4"])
        def test_learns(lowbit_cell): ...
        @pytest.mark.lowbit(formats=["int8"], optimizers="sgd")
        class TestInt8:
            def test_learns(self, lowbit_cell): ...
        """
    )
    result = suite.runpytest_inprocess("--collect-only", "-q")
    assert collected(result) == ["int4-adamw-s47", "int8-sgd-s47"]


def test_the_pr_matrix_is_the_default(suite: pytest.Pytester, mode: tuple[str, ...]) -> None:
    default = collected(suite.runpytest_inprocess("--collect-only", "-q", *mode))
    named = collected(suite.runpytest_inprocess("--collect-only", "-q", *mode, "--quantgate-matrix", "pr"))
    assert default == named
    assert len(default) == 54
    assert default[:3] == ["int4-adamw-s47", "int4-muon-s47", "int4-sgd-s47"]
    assert [id_.partition("-")[0] for id_ in default[::3]] == [
        "int4", "int8", "uint8", "posit8", "nf4", "mxfp8", "gf4", "gf8", "gf32", "fp16", "posit16", "gf256",
        "fp8_e4m3", "fp8_e5m2", "mxfp4", "bf16", "gf16", "nvfp4",
    ]  # fmt: skip


def test_in_place_storage_of_wide_formats_is_in_the_nightly_matrix(suite: pytest.Pytester) -> None:
    options = {"formats": "int8,fp16", "optimizers": "sgd", "seeds": "47", "matrix": "nightly"}
    result = suite.runpytest_inprocess("--collect-only", "-q", *flags(options))
    assert collected(result) == [
        "int8-sgd-s47",
        "int8-sgd-s47-w128",
        "fp16-sgd-s47",
        "fp16-sgd-s47-w128",
        "fp16-sgd-s47-inplace",
        "fp16-sgd-s47-w128-inplace",
    ]


def test_an_alias_is_collected_under_its_own_name_and_twice_named_once(suite: pytest.Pytester) -> None:
    options = {"formats": "nf4, nf4,mxfp8,mxfp8_e4m3", "optimizers": "sgd"}
    result = suite.runpytest_inprocess("--collect-only", "-q", *flags(options))
    assert collected(result) == ["nf4-sgd-s47", "mxfp8-sgd-s47"]


@pytest.mark.parametrize("parts", [1, 2, 5, 8, 54, 60])
def test_shards_are_disjoint_complete_and_balanced(suite: pytest.Pytester, parts: int) -> None:
    whole = collected(suite.runpytest_inprocess("--collect-only", "-q"))
    shards = []
    for part in range(1, parts + 1) if parts < 10 else (1, 7, parts):
        result = suite.runpytest_inprocess("--collect-only", "-q", "--quantgate-shard", f"{part}/{parts}")
        shards.append(collected(result))
        assert result.ret in ({0, 5} if parts > 54 else {0})
    joined = [id_ for shard in shards for id_ in shard]
    assert len(joined) == len(set(joined))
    if parts < 10:
        assert sorted(joined) == sorted(whole)
    sizes = [len(shard) for shard in shards]
    # Muon's cells count 1.4, so that shards of equal time differ in size by at most that much.
    assert max(sizes) <= 1.4 * 54 / parts + 1
    assert min(sizes) >= 54 / parts / 1.4 - 1


def test_a_marker_names_the_cells_of_its_test_alone(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest
        def test_learns(lowbit_cell): ...
        @pytest.mark.lowbit(formats=["bf16"], storage="inplace", widths=[32], scope="weights+activations")
        class TestInPlace:
            def test_learns(self, lowbit_cell): ...
        def test_codec(lowbit_format): ...
        """
    )
    result = suite.runpytest_inprocess("--collect-only", "-q", *flags({**BASE, "optimizers": "sgd"}))
    assert collected(result) == ["int4-sgd-s47", "bf16-sgd-s47-w32-inplace-wa"]
    result.stdout.fnmatch_lines(["*::test_codec[[]int4]"])


def test_lowbit_selects_what_uses_the_gate_and_nothing_else(
    suite: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    suite.makepyfile(
        """
        def test_learns(lowbit_cell): ...
        def test_codec(lowbit_format): ...
        def test_other(): ...
        """
    )
    options = ["--collect-only", "-q", "--strict-markers", *mode, *flags({**BASE, "optimizers": "sgd"})]
    lowbit = suite.runpytest_inprocess(*options, "-m", "lowbit")
    others = suite.runpytest_inprocess(*options, "-m", "not lowbit")
    names = [[line.partition("::")[2] for line in each.outlines if "::" in line] for each in (lowbit, others)]
    assert names == [["test_learns[int4-sgd-s47]", "test_codec[int4]"], ["test_other"]]


def test_the_marker_is_listed(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("--markers")
    result.stdout.fnmatch_lines(
        ["@pytest.mark.lowbit: trains or checks a low-precision number format (quantgate)."]
    )


def test_every_option_is_in_the_help_in_its_three_spellings(pytester: pytest.Pytester) -> None:
    from quantgate.plugin.options import OPTIONS

    text = " ".join(pytester.runpytest_inprocess("--help").stdout.str().split())
    for option in OPTIONS:
        name = option.name
        value = "" if option.is_switch else f"={option.metavar}"
        assert f"--quantgate-{name}{value}" in text.replace(
            f"{name} {option.metavar}", f"{name}={option.metavar}"
        )
        upper, lower = name.upper().replace("-", "_"), name.replace("-", "_")
        assert f"Also QUANTGATE_{upper} and the ini key quantgate_{lower}." in text


def test_the_long_lane_wants_its_text_before_anything_is_collected(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(TEST_LEARNS)
    pytester.makefile(".txt", tinyshakespeare="cut short")
    monkeypatch.setenv("QUANTGATE_CACHE", str(pytester.path))
    result = pytester.runpytest_inprocess("--collect-only", "--quantgate-matrix=long")

    assert result.ret == 4
    (said,) = [line for line in result.errlines if line.startswith("ERROR")]
    assert said.startswith("ERROR: quantgate: corpus 'tinyshakespeare': the cached file ")


@pytest.mark.parametrize(("matrix", "seconds"), [("pr", 60), ("long", 900)])
def test_a_cell_may_take_as_long_as_its_matrix_says(
    pytester: pytest.Pytester, matrix: str, seconds: float
) -> None:
    pytester.makepyfile(TEST_LEARNS)
    options = (f"--quantgate-matrix={matrix}", "--quantgate-corpus=builtin", "--quantgate-fail-bpb=4")
    items, _ = pytester.inline_genitems(*options)
    markers = [item.get_closest_marker("timeout") for item in items]

    assert {marker.args for marker in markers if marker is not None} == {(seconds,)}
