"""The arrows between folders: who may include whom (README), and sizes that keep files readable."""
import ast
import re
import subprocess

import pytest

from conftest import ROOT

# A file may include its own folder and these.
ALLOWED = {
    "kernels": [],
    "csrc/config": [],
    "csrc/log": [],
    "csrc/formats": [],
    "csrc/batch.h": [],
    "csrc/ops": ["kernels"],
    "csrc/nn": ["csrc/ops", "csrc/config"],
    "csrc/models": ["csrc/nn", "csrc/ops", "csrc/config", "csrc/batch.h"],
    "datasets": ["csrc/config", "csrc/batch.h"],
    "trainers": ["datasets", "csrc"],
    "bench": ["trainers", "csrc"],
}
TORCH_FREE = re.compile(r"^(csrc/(config|log|formats)/|.*_config\.h$|kernels/)")


def tracked(*patterns):
    return subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True,
                          check=True).stdout.split()


SOURCES = tracked("*.h", "*.cpp", "*.cuh", "*.cu")


def owner(path):
    return max((o for o in ALLOWED if path == o or path.startswith(o + "/")), key=len, default=None)


def includes(path):
    return re.findall(r'^#include\s+(["<][^">]+)[">]', (ROOT / path).read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", [p for p in SOURCES if owner(p)])
def test_includes_follow_the_arrows(path):
    mine = owner(path)
    for include in includes(path):
        name = include[1:]
        if TORCH_FREE.match(path):
            assert not re.match(r"(torch|ATen|c10)/", name), f"{path} must stay free of torch, but includes {name}"
        if include[0] == '"' and "/" in name and "pb-c" not in name:
            target = owner(name)
            fits = target == mine or any(target == a or (target or "").startswith(a + "/") for a in ALLOWED[mine])
            assert fits, f"{path} may not include {name}"


def test_files_stay_readable():
    long = [p for p in SOURCES if len((ROOT / p).read_text().splitlines()) > 400]
    assert not long


@pytest.mark.parametrize("path", tracked("bench/*.py", "scripts/*.py"))
def test_functions_of_python_stay_readable(path):
    long = [node.name for node in ast.walk(ast.parse((ROOT / path).read_text()))
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= 60]
    assert not long


@pytest.mark.parametrize("path", tracked("bench/parity*.py", "scripts/results*",
                                         "tests/trainers/*.py"))
def test_lines_stay_readable(path):
    lines = (ROOT / path).read_text().splitlines()
    long = [number for number, line in enumerate(lines, 1) if len(line) > 100]
    assert not long
