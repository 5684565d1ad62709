"""The command line: usage errors, help, versions, and results that cannot be delivered."""
import subprocess

import pytest
from support.runs import SMOKE


@pytest.mark.parametrize("arguments, phrase", [
    ([], "subcommand is required"),
    (["train"], "config is required"),
    (["trian", "x.yaml"], "unknown command 'trian'; did you mean 'train'?"),
    (["config", "chek", "x.yaml"], "unknown command 'chek'; did you mean 'check'?"),
    (["--josn"], "unknown option '--josn'; did you mean '--json'?"),
    (["--json", "train", SMOKE], "unknown option '--json'; put it after its command"),
    (["train", SMOKE, "--josn"], "unknown option '--josn'; did you mean '--json'?"),
    (["config", "--hepl"], "unknown option '--hepl'; did you mean '--help'?"),
    (["train", "no-such.yaml"], "no-such.yaml"),
    (["train", SMOKE, "model.encoder.dmi=3"], "did you mean 'model.encoder.dim'"),
    (["evaluate", "nowhere"], "neither a run folder"),
    (["config", "check", SMOKE, "missing.yaml"], "missing.yaml"),
    (["train", SMOKE, "run.name=a/b"], "one folder name"),
])
def test_usage_errors_exit_2_with_a_sentence(program, arguments, phrase):
    result = program(*arguments)
    assert result.returncode == 2, result.stderr
    assert phrase in result.stderr
    for trace in ("what():", "terminate called", "std::", "Exception"):
        assert trace not in result.stderr


def test_help_and_version(program):
    assert "Example" in program("--help").stdout
    for command in ("train", "evaluate", "config"):
        assert program(command, "--help").returncode == 0
    assert program("--version").stdout.startswith("adatape ")


def test_check_says_that_a_configuration_is_fine(program, tmp_path):
    result = program("train", SMOKE, "--check")
    assert result.returncode == 0 and result.stdout == f"{SMOKE}: ok\n"
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("arguments", [
    ["--version"],
    ["--help"],
    ["config", "check", SMOKE],
    ["config", "show", SMOKE],
    ["config", "reference"],
    ["train", SMOKE, "--check"],
    ["train", "runs/whole/config.yaml", "--json"],
    ["train", "runs/whole/config.yaml"],
    ["evaluate", "runs/whole", "--json"],
], ids=lambda words: " ".join(words).replace(SMOKE, "SMOKE"))
def test_a_result_that_cannot_be_printed_is_a_failure(copy_of_finished, program_path, arguments):
    with open("/dev/full", "w") as full:
        result = subprocess.run([program_path, *arguments], cwd=copy_of_finished.parents[1],
                                stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert result.returncode == 1
    assert "cannot write the result to standard output: No space left" in result.stderr
