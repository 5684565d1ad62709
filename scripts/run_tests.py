"""Runs the test programs, pytest and the fuzzers that scripts/test has built; counts and sums up.

Every suite ends in a list of Test. A program that crashes, runs out of time, or executes no test at
all adds a failed Test of its own, so that the closing line tells the truth.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SANITIZED = ("config_tests", "log_tests", "formats_tests", "ops_tests")
FUZZERS = {"config_fuzzer": "tests/config/corpus", "safetensors_fuzzer": "tests/formats/corpus"}
TIME_LIMIT = 1800  # seconds for one suite
FULL_TIME_LIMIT = 4 * TIME_LIMIT  # hundreds of broken kernels are built


@dataclass
class Test:
    name: str
    status: str  # passed, failed or skipped
    seconds: float = 0.0
    output: str = ""


@dataclass
class Suite:
    name: str
    command: list
    report: Path  # what the program writes: JSON of GoogleTest, JUnit XML of pytest
    read: object  # from the report, the output and how the program ended to a list of Test
    environment: dict = field(default_factory=dict)
    limit: int = TIME_LIMIT


def run(suite):
    """Runs one suite to its end; returns its tests, with one more for whatever else went wrong."""
    log = suite.report.with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    suite.report.unlink(missing_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            suite.command, cwd=ROOT, env={**os.environ, **suite.environment},
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True)
        try:
            ended = how_it_ended(process.wait(timeout=suite.limit))
        except subprocess.TimeoutExpired:
            ended = f"still ran after {suite.limit} s"
        finally:  # on Ctrl-C too
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    output = log.read_text(errors="replace")
    tests = suite.read(suite.report, output, ended)
    if not any(test.status == "failed" for test in tests):
        if ended:
            tests.append(Test(f"({ended})", "failed", output=output))
        elif not tests:
            tests.append(Test("(no test was executed)", "failed", output=output))
    return tests


def how_it_ended(code):
    """Nothing for success, else a few words."""
    if code < 0:
        return f"crashed: {signal.Signals(-code).name}"
    return f"exit code {code}" if code else ""


def read_gtest(report, output, ended):
    """GoogleTest writes its report at the end: without one the program crashed in its last test."""
    if not report.exists():
        return read_gtest_output(output, ended)
    tests = []
    for group in json.loads(report.read_text())["testsuites"]:
        for case in group["testsuite"]:
            name = f"{group['name']}.{case['name']}"
            if case["status"] != "RUN":
                continue
            status = "failed" if "failures" in case else "passed"
            if case["result"] == "SKIPPED":
                status = "skipped"
            test = Test(name, status, float(case["time"].rstrip("s")))
            if status == "failed":
                block = re.search(rf"^\[ RUN +\] {re.escape(name)}$.*?^\[ +FAILED +\] .*?$", output,
                                  re.M | re.S)
                test.output = block[0] if block else output
            tests.append(test)
    return tests


def read_gtest_output(output, ended):
    words = {"OK": "passed", "FAILED": "failed", "SKIPPED": "skipped"}
    tests = []
    for start in re.finditer(r"^\[ RUN +\] (\S+)$", output, re.M):
        name = start[1]
        end = re.search(rf"^\[ +(OK|FAILED|SKIPPED) +\] {re.escape(name)}\b.*?(?:\((\d+) ms\))?$",
                        output[start.end():], re.M)
        if not end:
            tests.append(Test(f"{name} (did not finish: {ended or 'exit code 0'})", "failed",
                              output=output[start.start():]))
            break
        block = output[start.start():start.end() + end.end()]
        tests.append(Test(name, words[end[1]], int(end[2] or 0) / 1000,
                          block if end[1] == "FAILED" else ""))
    return tests


def read_pytest(report, output, ended):
    if not report.exists():
        return [Test(name, "passed") for name in re.findall(r"^(\S+) PASSED", output, re.M)]
    tests = []
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag for child in case}
        status = "skipped" if "skipped" in kinds else "passed"
        if kinds & {"failure", "error"}:
            status = "failed"
        name = f"{case.get('classname')}.{case.get('name')}".lstrip(".")
        tests.append(Test(name, status, float(case.get("time", 0))))
    failed = [test for test in tests if test.status == "failed"]
    if failed:  # pytest prints what failed in one piece, after the list of all tests
        start = re.search(r"^=+ (ERRORS|FAILURES) =+$", output, re.M)
        failed[0].output = output[start.start() if start else 0:]
    return tests


def read_fuzzer(report, output, ended):
    done = re.search(r"^Done (\d+) runs in (\d+) second", output, re.M)
    return [Test(f"{report.stem}, {done[1]} inputs", "passed", float(done[2]))] if done else []


def find_suites(options):
    results = options.build / "test-results"
    only = options.only
    for folder, label in ((options.build, ""), (options.asan, " (sanitizers)")):
        for program in sorted((folder / "tests").glob("*_tests")) if folder else []:
            name = program.name
            if label and name not in SANITIZED:
                continue
            if not (ROOT / "tests" / name.removesuffix("_tests")).is_dir():
                continue  # a folder of tests that is gone leaves its program behind
            report = results / f"{name}{'-sanitizers' if label else ''}.json"
            command = [program, f"--gtest_output=json:{report}"]
            if only and only not in name:
                command.append(f"--gtest_filter=*{only}*")
            yield Suite(name + label, command, report, read_gtest,
                        {"UBSAN_OPTIONS": "print_stacktrace=1"})
    report = results / "pytest.xml"
    command = [sys.executable, "-X", "faulthandler", "-m", "pytest", "tests", "-v",
               f"--junit-xml={report}"]
    command += ["-m", "full or not full"] if options.full else []
    command += ["-k", only] if only else []
    yield Suite("pytest", command, report, read_pytest, {"ADATAPE_BUILD": str(options.build)},
                FULL_TIME_LIMIT if options.full else TIME_LIMIT)
    for name, corpus in FUZZERS.items() if options.fuzz else ():
        found = options.fuzz / "found" / name
        found.mkdir(parents=True, exist_ok=True)
        command = [options.fuzz / "tests" / name, "-max_total_time=60", "-timeout=10",
                   "-rss_limit_mb=2048", f"-artifact_prefix={found}-", found, corpus]
        yield Suite(name, command, results / f"{name}.txt", read_fuzzer)


def show(suite, tests, seconds):
    numbers = [(sum(test.status == status for test in tests), status)
               for status in ("passed", "failed", "skipped")]
    words = ", ".join(f"{number} {status}" for number, status in numbers if number)
    print(f"{words or 'nothing to do'} in {seconds:.1f} s")
    for test in tests:
        if test.output:
            print(f"\n--- {suite.name}: {test.name}\n{test.output.rstrip()}\n---\n", flush=True)


def sum_up(tests, only):
    """Prints the closing lines for pairs (suite's name, test); returns the exit code."""
    print("\nslowest tests:")
    for suite, test in sorted(tests, key=lambda pair: -pair[1].seconds)[:5]:
        print(f"  {test.seconds:7.2f} s  {suite}: {test.name}")
    failed = [pair for pair in tests if pair[1].status == "failed"]
    if failed:
        print("failed tests:")
    for suite, test in failed:
        print(f"  {suite}: {test.name}")
    if not tests:
        print(f"no test's name contains '{only}'")
    passed = sum(test.status == "passed" for _, test in tests)
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed or not passed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--asan", type=Path)
    parser.add_argument("--fuzz", type=Path)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only", default="")
    options = parser.parse_args()

    all_tests = []
    for suite in find_suites(options):
        started = time.monotonic()
        print(f"{suite.name:28}", end="", flush=True)
        tests = run(suite)
        if options.only and [test.name for test in tests] in (["(no test was executed)"],
                                                              ["(exit code 5)"]):
            tests = []  # the pattern is of another suite
        show(suite, tests, time.monotonic() - started)
        all_tests += [(suite.name, test) for test in tests]
    return sum_up(all_tests, options.only)


if __name__ == "__main__":
    sys.exit(main())
