"""`quantgate vectors`: written as a file, and answered by programs in C and Rust, each built rightly and wrongly."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.vectors.programs import INT8_C, POSIT8_RUST


def built(folder: Path, compiler: str, source: str, *options: str) -> Path:
    """The program, or a skipped test where there is no such compiler."""
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    name = "program.c" if compiler == "gcc" else "program.rs"
    (folder / name).write_text(source)
    subprocess.run([compiler, name, "-o", "program", *options], check=True, cwd=folder, capture_output=True)
    return folder / "program"


def answered(quantgate: Command, program: Path, format: str) -> tuple[int, list[str]]:
    """The exit status and the lines of the check of a program's answers."""
    assert quantgate("vectors", format, "-o", f"{format}.json").status == 0
    with Path(f"{format}.json").open() as asked, Path("answers.json").open("w") as out:
        subprocess.run([program], stdin=asked, stdout=out, check=True)
    said = quantgate("vectors", "check", format, "answers.json")
    return said.status, said.out.splitlines()


def test_a_right_program_in_c(quantgate: Command, folder: Path) -> None:
    program = built(folder, "gcc", INT8_C, "-lm")

    assert answered(quantgate, program, "int8") == (
        0,
        ["int8: all of 256 values and 3,543 encodings are right, in every bit"],
    )


@pytest.mark.parametrize(
    ("fault", "lines"),
    [
        (
            "-DTRUNCATE",
            [
                "int8: 1,162 of 256 values and 3,543 encodings are wrong",
                "  encode, tie: 126",
                "    encode 0xc2fb0000 (-125.5) is 0x82 (10000010), answered 0x83 (10000011)",
            ],
        ),
        (
            "-DWRAPS",
            [
                "int8: 100 of 256 values and 3,543 encodings are wrong",
                "  encode, overflow: 4",
                "    encode 0x433e8000 (190.5) is 0x7f (01111111), answered 0xbe (10111110)",
            ],
        ),
    ],
)  # fmt: skip
def test_a_wrong_program_in_c(quantgate: Command, folder: Path, fault: str, lines: list[str]) -> None:
    status, said = answered(quantgate, built(folder, "gcc", INT8_C, fault, "-lm"), "int8")

    assert status == 1
    assert [line for line in lines if line not in said] == [], "\n".join(said)


def test_a_right_program_in_rust(quantgate: Command, folder: Path) -> None:
    program = built(folder, "rustc", POSIT8_RUST)

    assert answered(quantgate, program, "posit8") == (
        0,
        ["posit8: all of 256 values and 3,595 encodings are right, in every bit"],
    )


def test_a_wrong_program_in_rust(quantgate: Command, folder: Path) -> None:
    status, said = answered(quantgate, built(folder, "rustc", POSIT8_RUST, "--cfg", "wrong"), "posit8")

    assert (status, said[0]) == (1, "posit8: 531 of 256 values and 3,595 encodings are wrong")


def test_vectors_go_to_the_standard_output_or_a_file(quantgate: Command, folder: Path) -> None:
    said = quantgate("vectors", "int4", "-o", "int4.json")

    assert said == (0, "int4: 16 values and 2,103 encodings in int4.json\n", "")
    assert quantgate("vectors", "int4").out == (folder / "int4.json").read_text()


def test_answers_that_are_missing_are_wrong(quantgate: Command, folder: Path) -> None:
    vectors = json.loads(quantgate("vectors", "int4").out)
    (folder / "half.json").write_text(
        json.dumps({"values": vectors["values"], "encode": vectors["encode"][:2000]})
    )

    said = quantgate("vectors", "check", "int4", "half.json")

    assert said.status == 1
    assert said.out.splitlines()[:2] == [
        "int4: 103 of 16 values and 2,103 encodings are wrong",
        "  missing: 103",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the answers 'a.json' are not JSON: Expecting value: line 1 column 1 (char 0)"),
        ("[]", "the answers 'a.json' are a list, not an object"),
        ("{}", 'the answers have neither "values" nor "encode"; fill in the lists of the vectors'),
        ('{"values": 3}', "the answers' 'values' is no list"),
        (
            '{"encode": [{"float32": 3}]}',
            "entry 0 of the answers' 'encode' is {'float32': 3}; it must be "
            '{"float32": "0x...", "code": "0x..."}',
        ),
    ],
)  # fmt: skip
def test_answers_that_are_none_exit_4(quantgate: Command, folder: Path, text: str, message: str) -> None:
    (folder / "a.json").write_text(text)

    assert quantgate("vectors", "check", "int8", "a.json") == (4, "", f"quantgate: {message}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("int9",), "unknown built-in format 'int9'; did you mean 'int8' or 'int4' or 'uint8'?"),
        (("gf256",), "'gf256' has codes of 256 bits; vectors are made up to 64"),
        (("check", "int8", "none.json"), "the answers 'none.json' cannot be read: No such file or directory"),
        (
            ("check", "int8"),
            "write quantgate vectors FORMAT -o FILE, or quantgate vectors check FORMAT ANSWERS",
        ),
        (("int8", "-o", "no/f.json"), "the vectors 'no/f.json' cannot be written: No such file or directory"),
    ],
)  # fmt: skip
def test_usage_errors_exit_4(
    quantgate: Command, folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    assert quantgate("vectors", *arguments) == (4, "", f"quantgate: {message}\n")
