"""Uninterrupted runs that others are compared with; trained once, read by many tests."""
import json
import shutil
import subprocess

import pytest
from support.runs import LONG, SMOKE


def train(program_path, folder, *arguments):
    result = subprocess.run([program_path, "train", SMOKE, "run.name=whole", *arguments, "--json"],
                            cwd=folder, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return folder / "runs/whole", json.loads(result.stdout)


@pytest.fixture(scope="session")
def finished(tmp_path_factory, program_path):
    """Its folder and its summary."""
    return train(program_path, tmp_path_factory.mktemp("finished"))


@pytest.fixture
def copy_of_finished(finished, tmp_path):
    """runs/whole in this test's own folder."""
    return shutil.copytree(finished[0], tmp_path / "runs/whole")


@pytest.fixture(scope="session")
def long_run(tmp_path_factory, program_path):
    """The folder of a run of LONG_STEPS steps."""
    return train(program_path, tmp_path_factory.mktemp("long"), *LONG)[0]
