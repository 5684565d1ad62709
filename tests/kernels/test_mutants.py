"""The lists of mutants fit the kernels, and the tests catch them: a few here, all of them in the full tests."""
import importlib.util
import subprocess
import sys

import pytest

from conftest import BUILD, ROOT

spec = importlib.util.spec_from_file_location("mutate", ROOT / "scripts/mutate.py")
mutate = importlib.util.module_from_spec(spec)
sys.modules["mutate"] = mutate  # dataclasses look it up
spec.loader.exec_module(mutate)

LISTS = sorted(mutate.LISTS.glob("*.yaml"))


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_a_list_fits_the_sources(path):
    listed = mutate.read_list(path)
    assert len(listed.mutants) >= 20
    assert len({m.name for m in listed.mutants}) == len(listed.mutants)
    assert all(m.new != m.old for m in listed.mutants)


def test_every_kernel_has_a_list():
    mutated = {m.file for path in LISTS for m in mutate.read_list(path).mutants}
    kernels = {f"kernels/{path.name}" for path in (ROOT / "kernels").glob("*.cuh") if "__global__" in path.read_text()}
    assert kernels <= mutated


@pytest.mark.parametrize("name, mutant, result", [
    ("ragged_compact", "no barrier after the votes", ("caught", "race")),
    ("tape_gather", "row -1 is read", ("caught", "out of range")),
    ("segment_sum", "any warp", None)])
def test_mutants_are_told_from_what_only_looks_like_one(name, mutant, result):
    listed = mutate.read_list(mutate.LISTS / f"{name}.yaml")
    chosen = next(m for m in listed.mutants if mutant in m.name + m.survives)
    found = mutate.Builder(BUILD.resolve()).run(chosen, listed.sources, listed.tests)
    assert found == (result or ("survived", ""))


def test_the_rules_make_mutants():
    listed = mutate.read_list(mutate.LISTS / "tape_gather.yaml")
    made = mutate.generate(listed, 30, seed=1)
    assert len(made) == 30
    assert all(m.text() != (ROOT / m.file).read_text() for m in made)


@pytest.mark.full
@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_nine_of_ten_mutants_are_caught(path):
    run = subprocess.run([sys.executable, ROOT / "scripts/mutate.py", path.stem, "--build", BUILD], capture_output=True,
                         text=True)
    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr
