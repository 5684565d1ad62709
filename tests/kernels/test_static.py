"""The compiled CUDA kernels against kernels/budget.yaml, where there is an nvcc; and the comparison itself."""
import importlib.util
import shutil
import subprocess
import sys
from collections import Counter

import pytest

from conftest import BUILD, ROOT

spec = importlib.util.spec_from_file_location("kernel_table", ROOT / "scripts/kernel_table.py")
kernel_table = importlib.util.module_from_spec(spec)
sys.modules["kernel_table"] = kernel_table  # dataclasses look it up
spec.loader.exec_module(kernel_table)

HAS_NVCC = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")


@pytest.mark.skipif(not HAS_NVCC, reason="there is no nvcc")
def test_compiled_kernels_keep_to_their_budget():
    run = subprocess.run([sys.executable, ROOT / "scripts/kernel_table.py", "--cache", BUILD / "cubins"],
                         capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


ENTRY = {"threads": 256, "registers": {"sm_80": 64, "sm_90": 80}, "shared": 1024, "blocks": 2,
         "exactly": {"HMMA": 4}, "at_least": {"LDG.128": 2}}


def kernel(arch="sm_80", registers=64, stack=0, shared=1024, local=0, blocks=2, entry=ENTRY, **instructions):
    counts = Counter({"HMMA": 4, "LDG.128": 2, **instructions})
    return kernel_table.Kernel("k<float, 1>", arch, registers, stack, shared, local, counts, entry, blocks)


def test_a_kernel_within_its_budget_is_fine():
    assert list(kernel_table.violations(kernel())) == []
    assert list(kernel_table.violations(kernel(arch="sm_90", registers=80, blocks=9))) == []


@pytest.mark.parametrize("changes, sentence", [
    ({"registers": 65}, "registers: 65, budget 64"),
    ({"arch": "sm_90", "registers": 81}, "registers: 81, budget 80"),
    ({"shared": 1025}, "shared: 1025, budget 1024"),
    ({"stack": 8}, "8 bytes of stack; allowed are none"),
    ({"local": 16}, "16 bytes of local memory; allowed are none"),
    ({"LDL": 1}, "1 loads from local memory; allowed are none"),
    ({"STL": 3}, "3 stores to local memory; allowed are none"),
    ({"blocks": 1}, "blocks on a multiprocessor: 1, budget at least 2"),
    ({"HMMA": 3}, "HMMA: 3 instructions, must be 4"),
    ({"LDG.128": 1}, "LDG.128: 1 instructions, must be at least 2"),
    ({"entry": None}, "has no entry in kernels/budget.yaml"),
])
def test_whatever_exceeds_the_budget_is_said(changes, sentence):
    assert list(kernel_table.violations(kernel(**changes))) == [sentence]


@pytest.mark.parametrize("line, kind", [
    ("LDG.E.128.CONSTANT R4, [R2.64]", "LDG.128"), ("LDS.128 R4, [R2]", "LDS.128"), ("LDSM.16.M88.4 R4, [R2]", "LDSM"),
    ("LDGSTS.E.BYPASS.128 [R2], [R4.64]", "LDGSTS"), ("HMMA.16816.F32.BF16 R4, R8, R10, R4", "HMMA"),
    ("BAR.SYNC.DEFER_BLOCKING 0x0", "BAR"), ("CALL.REL.NOINC `($__internal_0_$__cuda_sm20_div_s64)", "div64"),
    ("LDG.E R4, [R2.64]", None), ("LDS R4, [R2]", None), ("CALL.REL.NOINC `(.L_x_19)", None)])
def test_instructions_are_told_apart(line, kind):
    kinds = [k for k, pattern in kernel_table.INSTRUCTIONS.items() if kernel_table.re.fullmatch(pattern, line)]
    assert kinds == ([kind] if kind else [])
