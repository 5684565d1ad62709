"""Python's safetensors and tensorboard packages read what our writers wrote, and the other way round.

The files come from the program format_samples, found in $ADATAPE_BUILD/tests (default: build/tests).
"""

import json
import math
import os
import pathlib
import subprocess

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.util import tensor_util

# TensorBoard's own summary of the widest histogram overflows, harmlessly.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered")

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("ADATAPE_BUILD", ROOT / "build")) / "tests" / "format_samples"
GOLDEN = pathlib.Path(os.environ.get("ADATAPE_GOLDEN_DIR", ROOT / "tests" / "golden"))
SIZES = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "F8_E8M0": 1, "F8_E4M3FNUZ": 1,
         "F8_E5M2FNUZ": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4,
         "C64": 8, "F64": 8, "I64": 8, "U64": 8}


def run(*arguments):
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def copied(pairs):
    """What our reader says of each (from, to) pair, in turn."""
    return run("copy", *(str(path) for pair in pairs for path in pair))


def content(data):
    """Tensors and metadata of a file's bytes, as the reference implementation reads them."""
    tensors = {name: (entry["dtype"], entry["shape"], bytes(entry["data"]))
               for name, entry in safetensors.deserialize(data)}
    header = json.loads(data[8:8 + int.from_bytes(data[:8], "little")])
    return tensors, header.get("__metadata__", {})


def raw(header, data=b""):
    return len(header).to_bytes(8, "little") + header + data


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    run("write", str(folder))
    return folder


def test_every_dtype_opens(samples):
    tensors, metadata = content((samples / "types.safetensors").read_bytes())
    assert metadata == {"format": "pt"}
    assert {name: (dtype, shape) for name, (dtype, shape, _) in tensors.items()} == {
        name: (name, [2, 3]) for name in SIZES}
    for name, (_, _, data) in tensors.items():
        assert data == bytes(i & 1 for i in range(6 * SIZES[name]))


def check_mixed(tensors):
    assert set(tensors) == {"odd", "scalar", "pair", 'blöcke.0/層 "x"\n', "empty", ""}
    assert tensors["odd"].tolist() == [0, 1, 0]
    assert tensors["scalar"].shape == () and tensors["scalar"].item() == 1.5
    assert tensors["pair"].tolist() == [[-0.25, math.inf]]
    assert tensors['blöcke.0/層 "x"\n'].tolist() == [1, -2, -2**63]
    assert tuple(tensors["empty"].shape) == (0, 5)
    assert tensors[""].tolist() == [False, True]


def test_mixed_tensors_open_in_numpy(samples):
    check_mixed(safetensors.numpy.load_file(samples / "mixed.safetensors"))
    with safetensors.safe_open(samples / "mixed.safetensors", "np") as file:
        assert file.metadata() == {"größe": '層\n"\\', "format": "pt"}
        check_mixed({name: file.get_tensor(name) for name in file.keys()})


def test_mixed_tensors_open_in_torch(samples):
    import safetensors.torch  # here, since importing torch takes seconds

    check_mixed(safetensors.torch.load_file(samples / "mixed.safetensors"))


def test_no_tensors_open(samples):
    assert safetensors.numpy.load_file(samples / "empty.safetensors") == {}


def test_files_of_the_reference_open(tmp_path):
    generator = np.random.default_rng(0)
    tensors = {f"layer.{i}.größe": generator.standard_normal((i, 3)).astype(dtype)
               for i, dtype in enumerate([np.float64, np.float32, np.float16, np.int64, np.int8])}
    tensors |= {"scalar": np.array(7, np.uint32), "flags": np.array([True, False, True])}
    source, target = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    safetensors.numpy.save_file(tensors, source, {"by": "reference"})
    assert copied([(source, target)]) == ["ok"]
    assert content(target.read_bytes()) == content(source.read_bytes())


def test_golden_files_open(tmp_path):
    files = sorted(GOLDEN.glob("*.safetensors"))
    assert files, f"no safetensors files in {GOLDEN}; set ADATAPE_GOLDEN_DIR"
    pairs = [(file, tmp_path / file.name) for file in files]
    assert copied(pairs) == ["ok"] * len(files)
    for source, target in pairs:
        assert content(target.read_bytes()) == content(source.read_bytes())


def reference_accepts(data):
    try:
        content(data)
        return True
    except (safetensors.SafetensorError, UnicodeDecodeError):
        return False


def test_what_we_accept_the_reference_accepts(tmp_path):
    """Every bit of a header flipped: we may be stricter, never laxer, and agree on the content."""
    whole = raw(b'{"__metadata__":{"k":"v"},"w":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},'
                b'"b":{"dtype":"I8","shape":[],"data_offsets":[8,9]}}', bytes(range(9)))
    cases = [whole[:bit // 8] + bytes([whole[bit // 8] ^ (1 << bit % 8)]) + whole[bit // 8 + 1:]
             for bit in range((len(whole) - 9) * 8)]
    pairs = []
    for i, case in enumerate(cases):
        pairs.append((tmp_path / f"{i}.in", tmp_path / f"{i}.out"))
        pairs[-1][0].write_bytes(case)
    said = copied(pairs)
    accepted = [i for i, line in enumerate(said) if line == "ok"]
    assert 10 < len(accepted) < len(cases) / 2
    for i in accepted:
        assert reference_accepts(cases[i]), cases[i]
        assert content(pairs[i][1].read_bytes()) == content(cases[i])
    refused_alone = [i for i, line in enumerate(said) if line != "ok" and reference_accepts(cases[i])]
    # The reference ignores unknown keys; one bit makes no other difference.
    assert all("does not know" in said[i] for i in refused_alone), [said[i] for i in refused_alone]


@pytest.fixture(scope="module")
def events(samples):
    accumulator = event_accumulator.EventAccumulator(
        str(samples / "events"), size_guidance={event_accumulator.SCALARS: 0,
                                                event_accumulator.HISTOGRAMS: 0,
                                                event_accumulator.TENSORS: 0})
    accumulator.Reload()
    return accumulator


def test_scalars_after_a_resume(events):
    points = [(event.step, event.wall_time, event.value) for event in events.Scalars("train/loss")]
    assert points == [(10, 1.7e9 + 10, np.float32(1 / 10)), (20, 1.7e9 + 20, np.float32(1 / 20)),
                      (30, 1.7e9 + 30, np.float32(1 / 30)), (40, 1.7e9 + 140, 2),
                      (50, 1.7e9 + 150, 2), (60, 1.7e9 + 160, 2)]
    assert math.isnan(events.Scalars("train/odd")[0].value)
    assert events.file_version == 2


def test_histogram(events):
    (event,) = events.Histograms("tape/length")
    histogram = event.histogram_value
    assert (event.step, histogram.min, histogram.max, histogram.num) == (20, 1, 10, 7)
    assert (histogram.sum, histogram.sum_squares) == (24, 136)
    edges = np.linspace(1, 10, 31)
    counts, _ = np.histogram([1, 2, 2, 3, 3, 3, 10], edges)
    np.testing.assert_allclose(histogram.bucket_limit, edges[1:], rtol=1e-12)
    assert list(histogram.bucket) == counts.tolist()


def test_histograms_of_one_value_and_of_the_widest_range(events):
    equal = events.Histograms("tape/equal")[0].histogram_value
    assert (list(equal.bucket_limit), list(equal.bucket)) == ([4], [5])
    wide = events.Histograms("tape/wide")[0].histogram_value
    assert np.isfinite(wide.bucket_limit).all() and (np.diff(wide.bucket_limit) > 0).all()
    assert sum(wide.bucket) == 3 and wide.bucket[0] == 1 and wide.bucket[-1] == 1


def test_text(events):
    assert events.SummaryMetadata("config").plugin_data.plugin_name == "text"
    (event,) = events.Tensors("config")
    (text,) = tensor_util.make_ndarray(event.tensor_proto).tolist()
    assert text.decode() == "model: adatape # größe"
