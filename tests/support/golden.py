"""The golden vectors: where they are, how they are read, how they are compared (tests/golden/README.md)."""

import json
import os
from pathlib import Path

import torch
from safetensors.torch import load_file

FOLDER = Path(os.environ.get("ADATAPE_GOLDEN_DIR") or Path(__file__).resolve().parents[1] / "golden")
DTYPES = {"float64": torch.float64, "float32": torch.float32}


def manifest():
    return json.loads((FOLDER / "MANIFEST.json").read_text())


def entries(key, name):
    """Entries whose `key` ("op" or "model") is `name`."""
    return [entry for entry in manifest()["files"] if entry.get(key) == name]


def load(entry):
    return load_file(FOLDER / entry["file"])


def assert_agrees(name, x, reference, entry, precision):
    """The comparison rule for one tensor; `precision` is "float64" or "float32"."""
    x = x.detach()
    assert x.shape == reference.shape, f"{name}: shape {tuple(x.shape)}, expected {tuple(reference.shape)}"
    if not reference.is_floating_point():
        assert torch.equal(x.long(), reference), f"{name}: {x.tolist()}, expected {reference.tolist()}"
        return
    x = x.double()
    finite = torch.isfinite(reference)
    assert torch.equal(x[~finite], reference[~finite]), f"{name}: infinities differ"
    if not finite.any():
        return
    largest = reference[finite].abs().max().item()
    error = (x[finite] - reference[finite]).abs().max().item()
    tolerance = entry["tolerance"][precision]
    allowed = tolerance["atol"] + tolerance["rtol_of_max"] * largest
    assert error <= allowed, f"{name}: error {error:.3g} exceeds {allowed:.3g}"
    if precision == "float32":
        ratio = error / max(largest, 1e-3)
        allowed = max(2 * entry["naive_float32_error"], 1e-6)
        assert ratio <= allowed, f"{name}: relative error {ratio:.3g} exceeds {allowed:.3g}, twice the naive one"
