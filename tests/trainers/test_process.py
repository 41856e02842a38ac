"""The process of a cell: what is read of it, and that nothing of it is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from quantgate.trainers.process import HEAD, LONGEST_LINE, TAIL, Ended, Output, run

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX's")]

#: Prints the numbers of children that ignore SIGTERM, leave the group, and forget their variables, and goes on.
FAMILY = """
trap '' TERM
(trap '' TERM; exec sleep 600) &
echo child $!
setsid sleep 600 &
echo child $!
env -i "$(command -v sleep)" 600 &
echo child $!
"""


def sh(script: str, tmp_path: Path, seconds: float = 30.0) -> tuple[Ended, list[str]]:
    lines: list[str] = []
    return run(["sh", "-c", script], tmp_path, seconds, lines.append), lines


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in (Path("/proc") / str(pid) / "status").read_text()
    except OSError:
        return False


def left_of(lines: list[str]) -> list[int]:
    """The children that are still alive, once those that were killed have had the time to go."""
    pids = [int(line.split()[1]) for line in lines if line.startswith("child")]
    assert len(pids) == 3
    deadline = time.monotonic() + 10
    while (left := [pid for pid in pids if alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def test_both_outputs_are_read_and_the_status_is_told(tmp_path: Path) -> None:
    ended, lines = sh("pwd; echo problem >&2; printf 'no end'; exit 3", tmp_path)

    assert (ended.status, ended.lines, lines) == (3, 3, [str(tmp_path), "problem", "no end"])
    assert ended.output == f"{tmp_path}\nproblem\nno end"


def test_a_signal_is_told_apart(tmp_path: Path) -> None:
    assert sh("kill -SEGV $$", tmp_path)[0].status == -signal.SIGSEGV


def test_children_that_keep_the_output_open_are_not_waited_for(tmp_path: Path) -> None:
    ended, lines = sh(FAMILY, tmp_path)

    assert ended.status == 0
    assert ended.seconds < 20
    assert left_of(lines) == []


def test_at_its_time_it_is_ended_with_its_children_whatever_they_ignore(tmp_path: Path) -> None:
    ended, lines = sh(FAMILY + "while :; do sleep 1; done", tmp_path, seconds=1.0)

    assert ended.status is None
    assert left_of(lines) == []


def test_one_that_closes_its_output_and_goes_on_has_its_time(tmp_path: Path) -> None:
    assert sh("exec >&- 2>&-; sleep 0.2; exit 4", tmp_path)[0].status == 4
    assert sh("exec >&- 2>&-; sleep 600", tmp_path, seconds=0.5)[0].status is None


def test_when_the_worker_is_killed_so_is_the_trainer(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from quantgate.trainers.process import run; "
        f"run(['sh', '-c', {FAMILY + 'sleep 600'!r}], Path('.'), 600, lambda line: print(line, flush=True))"
    )
    worker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    lines = [worker.stdout.readline() for _ in range(3)]
    worker.kill()
    worker.communicate()

    assert left_of(lines) == []


def test_a_flood_ends_at_its_time_and_little_of_it_is_kept(tmp_path: Path) -> None:
    ended, _ = sh("echo first; while :; do echo flooooooood; done", tmp_path, seconds=1.0)

    assert ended.status is None
    assert ended.output.startswith("first\nfloo")
    assert len(ended.output) < HEAD + TAIL + 100
    assert " bytes are left out ...\n" in ended.output


def test_no_shell_reads_the_command(tmp_path: Path) -> None:
    ended = run(["echo", "$HOME; echo `id` > gone"], tmp_path, 30.0, lambda line: None)

    assert ended.output == "$HOME; echo `id` > gone\n"
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_started_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no program")
    for program, error in (("./none", FileNotFoundError), ("./data", PermissionError)):
        with pytest.raises(error):
            run([program], tmp_path, 30.0, lambda line: None)


def test_the_options_of_the_run_do_not_reach_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address of a database is among them; threads are one each, where the user says nothing else."""
    monkeypatch.setenv("QUANTGATE_DB", "postgresql://user:secret@host/db")
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    said = sh("echo ${QUANTGATE_DB-none} $OMP_NUM_THREADS $MKL_NUM_THREADS", tmp_path)[1]

    assert said == ["none 1 3"]


# what is kept of the output


def taken(*chunks: bytes) -> tuple[Output, list[str]]:
    lines: list[str] = []
    output = Output(lines.append)
    for chunk in chunks:
        output.feed(chunk)
    output.close()
    return output, lines


def test_lines_end_in_any_way_and_anywhere_in_a_chunk() -> None:
    output, lines = taken(b"one\r\ntw", b"o\rthree\n\n", b"\r", b"\nfour")

    assert lines == ["one", "two", "three", "four"]
    assert output.text == "one\r\ntwo\rthree\n\n\r\nfour"


def test_bytes_that_are_no_text_are_shown() -> None:
    assert taken(b"caf\xe9 \xff\n")[1] == ["caf\\xe9 \\xff"]


def test_a_line_without_an_end_is_cut() -> None:
    output, lines = taken(*[b"x" * 50_000] * 20, b"\nnext\n")

    assert [len(line) for line in lines] == [LONGEST_LINE, 4]
    assert output.text.startswith("xxxx")
    assert output.text.endswith("x\nnext\n")
    assert f"... {1_000_006 - HEAD - TAIL:,} bytes are left out ..." in output.text
