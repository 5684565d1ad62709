"""scripts/run_tests.py: its counts are true, and nothing that goes wrong is counted as passed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Project:
    """A project whose test programs are shell scripts that behave as GoogleTest ones do."""

    def __init__(self, root):
        self.root = root
        self.programs = root / "build/tests"
        self.programs.mkdir(parents=True)
        (root / "scripts").mkdir()
        shutil.copy(ROOT / "scripts/run_tests.py", root / "scripts")
        shutil.copy(ROOT / "pytest.ini", root)
        self.python_test("def test_python(): pass")

    def python_test(self, text):
        folder = self.root / "tests/py"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "test_it.py").write_text(f"import os, pytest\n{text}\n")

    def program(self, name, cases, then="", folder=None):
        """cases: name → OK, FAILED or SKIPPED; `then`: shell code in place of the report."""
        lines, report = [], []
        for case, end in cases.items():
            lines += [f"[ RUN      ] Group.{case}", f"output of {case}",
                      f"[ {end:>8} ] Group.{case} (20 ms)"]
            result = {"name": case, "status": "RUN", "time": "0.02s",
                      "result": "SKIPPED" if end == "SKIPPED" else "COMPLETED"}
            if end == "FAILED":
                result["failures"] = [{"failure": "no"}]
            report.append(result)
        report = {"testsuites": [{"name": "Group", "testsuite": report}] if report else []}
        write = f"cat >\"${{1#--gtest_output=json:}}\" <<'E'\n{json.dumps(report)}\nE"
        script = ["#!/usr/bin/env bash", 'echo "args $*"', "cat <<'E'", *lines, "E", then or write,
                  f"exit {int('FAILED' in cases.values())}", ""]
        path = (folder or self.programs) / f"{name}_tests"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(script))
        path.chmod(0o755)
        (self.root / "tests" / name).mkdir(exist_ok=True)

    def run(self, *arguments):
        return subprocess.run(
            [sys.executable, "scripts/run_tests.py", "--build", self.root / "build", *arguments],
            cwd=self.root, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "a project")


def closing(run):
    return run.stdout.splitlines()[-1]


def test_all_pass(project):
    project.program("ops", {"A": "OK", "B": "OK", "C": "SKIPPED"})
    run = project.run()
    assert run.returncode == 0
    assert closing(run) == "3 passed, 0 failed"
    assert "2 passed, 1 skipped in" in run.stdout
    assert "0.02 s  ops_tests: Group.A" in run.stdout


def test_failure_is_shown_and_counted(project):
    project.program("ops", {"A": "OK", "B": "FAILED"})
    run = project.run()
    assert run.returncode == 1
    assert closing(run) == "2 passed, 1 failed"
    assert "output of B" in run.stdout and "output of A" not in run.stdout
    assert "failed tests:\n  ops_tests: Group.B\n" in run.stdout


@pytest.mark.parametrize("then, words", [
    ("echo '[ RUN      ] Group.Boom'; echo last words; kill -SEGV $$",
     "Group.Boom (did not finish: crashed: SIGSEGV)"),
    ("echo '[ RUN      ] Group.Boom'; echo last words; exit 1",
     "Group.Boom (did not finish: exit code 1)"),
    ("echo last words; kill -SEGV $$", "(crashed: SIGSEGV)"),
    ("echo last words; exit 3", "(exit code 3)"),
])
def test_crash_is_a_failure(project, then, words):
    project.program("ops", {"A": "OK"}, then=then)
    run = project.run()
    assert run.returncode == 1
    assert closing(run) == "2 passed, 1 failed"
    assert f"  ops_tests: {words}\n" in run.stdout and "last words" in run.stdout


def test_endless_program_is_stopped(project):
    project.program("ops", {"A": "OK"}, then="echo '[ RUN      ] Group.Long'; sleep 100")
    runner = project.root / "scripts/run_tests.py"
    runner.write_text(runner.read_text().replace("TIME_LIMIT = 1800", "TIME_LIMIT = 2"))
    run = project.run()
    assert run.returncode == 1 and closing(run) == "2 passed, 1 failed"
    assert "Group.Long (did not finish: still ran after 2 s)" in run.stdout


def test_failure_before_a_crash_is_kept(project):
    project.program("ops", {"A": "FAILED"}, then="echo '[ RUN      ] Group.Boom'; kill -ABRT $$")
    assert closing(project.run()) == "1 passed, 2 failed"


def test_bad_exit_after_a_good_report(project):
    project.program("ops", {"A": "OK"})
    program = project.programs / "ops_tests"
    program.write_text(program.read_text().replace("exit 0", "echo leaked; exit 23"))
    run = project.run()
    assert run.returncode == 1 and closing(run) == "2 passed, 1 failed"
    assert "(exit code 23)" in run.stdout and "leaked" in run.stdout


def test_program_that_executes_nothing_fails(project):
    project.program("ops", {})
    run = project.run()
    assert run.returncode == 1 and closing(run) == "1 passed, 1 failed"
    assert "ops_tests: (no test was executed)" in run.stdout


@pytest.mark.parametrize("text, line, words", [
    ("def test_bad(): print('said before'); assert 1 == 2", "0 passed, 1 failed", "said before"),
    ("import nowhere_to_be_found", "0 passed, 1 failed", "nowhere_to_be_found"),
    ("def test_a(): pass\ndef test_b(): os.abort()", "1 passed, 1 failed", "SIGABRT"),
    ("", "0 passed, 1 failed", "exit code 5"),
    ("@pytest.fixture\ndef f():\n yield\n assert 0\ndef test_a(f): pass", "0 passed, 1 failed",
     "test_a"),
])
def test_python_failures(project, text, line, words):
    project.python_test(text)
    run = project.run()
    assert run.returncode == 1 and closing(run) == line
    assert words in run.stdout


def test_python_knows_the_build_folder(project):
    project.python_test("def test_it(): os.listdir(os.environ['ADATAPE_BUILD'] + '/tests')")
    assert closing(project.run()) == "1 passed, 0 failed"


def test_tests_marked_full(project):
    project.python_test("@pytest.mark.full\ndef test_long(): pass\ndef test_short(): pass")
    assert closing(project.run()) == "1 passed, 0 failed"
    assert closing(project.run("--full")) == "2 passed, 0 failed"


def test_sanitized_programs_are_counted_as_their_own(project, tmp_path):
    project.program("ops", {"A": "OK"})
    project.program("ops", {"A": "FAILED"}, folder=tmp_path / "asan/tests")
    run = project.run("--asan", tmp_path / "asan")
    assert closing(run) == "2 passed, 1 failed"
    assert "  ops_tests (sanitizers): Group.A\n" in run.stdout


def test_program_of_a_folder_that_is_gone_is_left_out(project):
    project.program("old", {"A": "FAILED"})
    (project.root / "tests/old").rmdir()
    assert closing(project.run()) == "1 passed, 0 failed"


def test_only(project):
    project.program("ops", {"A": "OK"})
    project.program("nn", {})
    run = project.run("--only", "ops")
    assert run.returncode == 0 and closing(run) == "1 passed, 0 failed"
    log = (project.root / "build/test-results/ops_tests.log").read_text()
    assert "gtest_filter" not in log  # the whole program
    assert "gtest_filter=*ops*" in (project.root / "build/test-results/nn_tests.log").read_text()


def test_only_without_a_match_is_an_error(project):
    run = project.run("--only", "nothing_like_it")
    assert run.returncode == 1
    assert closing(run) == "0 passed, 0 failed"
    assert "no test's name contains 'nothing_like_it'" in run.stdout


@pytest.mark.parametrize("script, line", [
    ("echo 'Done 123 runs in 1 second(s)'", "3 passed, 0 failed"),
    ("echo crash; exit 77", "1 passed, 2 failed"),
    ("true", "1 passed, 2 failed"),
])
def test_fuzzers(project, tmp_path, script, line):
    programs = tmp_path / "fuzz/tests"
    programs.mkdir(parents=True)
    for name in ("config_fuzzer", "safetensors_fuzzer"):
        (programs / name).write_text(f"#!/bin/bash\n{script}\n")
        (programs / name).chmod(0o755)
    assert closing(project.run("--fuzz", tmp_path / "fuzz")) == line
