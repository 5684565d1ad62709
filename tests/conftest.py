"""What every Python test shares."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BUILD = Path(os.environ.get("ADATAPE_BUILD") or ROOT / "build")


@pytest.fixture(scope="session")
def ops_library():
    """The built library of ops."""
    library = BUILD / "libadatape_ops.so"
    assert library.exists(), f"{library} is missing; build the target adatape_ops, or set ADATAPE_BUILD"
    return library


@pytest.fixture(scope="session")
def ops(ops_library):
    """torch.ops.adatape, with the library loaded."""
    import torch  # not every test needs a torch that Python can import

    torch.ops.load_library(ops_library)
    return torch.ops.adatape


@pytest.fixture(scope="session")
def program_path():
    """The built program."""
    return str(BUILD / "adatape")


@pytest.fixture
def program(tmp_path, program_path):
    """Runs it in a folder of its own: program("train", "c.yaml") -> CompletedProcess."""

    def run(*arguments):
        return subprocess.run([program_path, *map(str, arguments)], cwd=tmp_path, capture_output=True, text=True,
                              timeout=120)

    return run
