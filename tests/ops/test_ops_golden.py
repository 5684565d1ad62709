"""The ops against vectors of an independent implementation, values and gradients (tests/golden/README.md)."""

import hashlib

import pytest
import torch

from support import golden


def offsets_of(length):
    return torch.cat([torch.zeros(1, dtype=torch.int64), length.cumsum(0)]).int()


def longest(offsets):
    return int(offsets.diff().max()) if len(offsets) > 1 else 0


def select(ops, query, keys, attributes):
    a = attributes
    return ops.tape_select(query, keys, None, None, a["max_tokens"], a["threshold"], a["merge"],
                           a["penalty"], a["complex_query"])


def run_select(ops, leaf, tensors, attributes):
    index, weight, length, ponder = select(ops, leaf("query"), leaf("keys"), attributes)
    return {"index": index, "weight": weight, "length": length, "penalty": ponder}


def run_gather(ops, leaf, tensors, attributes):
    offsets = offsets_of(tensors["length"])
    tape = ops.tape_gather(leaf("values"), tensors["index"].int(), leaf("weight"), offsets, int(offsets[-1]))
    return {"tape": tape, "offsets": offsets}


def run_read(ops, leaf, tensors, attributes):
    query, values = leaf("query"), leaf("values")
    index, weight, length, ponder = select(ops, query, values[..., :attributes["key_width"]], attributes)
    offsets = offsets_of(length)
    tape = ops.tape_gather(values, index, weight, offsets, int(offsets[-1]))
    return {"index": index, "weight": weight, "length": length, "penalty": ponder, "tape": tape, "offsets": offsets}


def run_attention(ops, leaf, tensors, attributes):
    of_queries, of_keys = tensors["q_offsets"].int(), tensors["k_offsets"].int()
    out, lse = ops.ragged_attention(
        leaf("query"), leaf("key"), leaf("value"), of_queries, of_keys, longest(of_queries), longest(of_keys),
        scale=attributes["scale"], causal=attributes["causal"])
    return {"out": out, "lse": lse.t()}


RUN = {
    "tape_select": run_select,
    "tape_gather": run_gather,
    "tape_select+tape_gather": run_read,
    "ragged_attention": run_attention,
}
ENTRIES = [entry for op in RUN for entry in golden.entries("op", op)]


@pytest.mark.parametrize("precision", golden.DTYPES)
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["file"].split(".")[0])
def test_values_and_gradients(ops, entry, precision):
    tensors, dtype = golden.load(entry), golden.DTYPES[precision]
    leaves = {}

    def leaf(name):
        leaves[name] = tensors[name].to(dtype).requires_grad_()
        return leaves[name]

    results = RUN[entry["op"]](ops, leaf, tensors, entry["attributes"])
    expected = [name for name in results if name in tensors]
    assert expected, "the file has none of the op's results"
    for name in expected:
        golden.assert_agrees(name, results[name], tensors[name], entry, precision)

    upstream = {name: tensors[f"grad_out.{name}"].to(dtype) for name in results if f"grad_out.{name}" in tensors}
    torch.autograd.backward([results[name] for name in upstream], list(upstream.values()))
    gradients = [name for name in leaves if f"grad_in.{name}" in tensors]
    assert len(gradients) == sum(name.startswith("grad_in.") for name in tensors)
    for name in gradients:
        golden.assert_agrees(f"grad_in.{name}", leaves[name].grad, tensors[f"grad_in.{name}"], entry, precision)


def test_every_op_has_vectors():
    found = {entry["op"] for entry in golden.manifest()["files"] if entry["kind"] == "op"}
    assert found == set(RUN)


def test_files_are_those_of_the_manifest():
    for entry in golden.manifest()["files"]:
        assert hashlib.sha256((golden.FOLDER / entry["file"]).read_bytes()).hexdigest() == entry["sha256"], entry["file"]
