"""What every Python test shares."""

import os
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
