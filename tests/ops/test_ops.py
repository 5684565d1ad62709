"""The ops from Python: against per-example references, opcheck, gradcheck, invariances, limits and errors."""
import math
import os
import subprocess
import sys

import pytest
import torch

from conftest import BUILD, ROOT
from ops import reference
from ops.inputs import F64, SELECT, bank, offsets, run_select, sequences, with_tails

@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("rows", [0, 1, 3, 17, 40])
@pytest.mark.parametrize("name", SELECT)
def test_select_matches_the_reference(ops, name, rows, shared):
    query, keys = bank(5, rows, 6, shared, seed=rows)
    query.requires_grad_(), keys.requires_grad_()
    mine = run_select(ops, query, keys, **SELECT[name])
    theirs = reference.select(query, keys, **SELECT[name])
    assert torch.equal(mine[0], theirs[0]) and torch.equal(mine[2], theirs[2])
    torch.testing.assert_close(mine[1], theirs[1], rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(mine[3], theirs[3], rtol=1e-11, atol=1e-12)
    if rows == 0:
        return
    direction = torch.randn(mine[1].shape, dtype=F64, generator=torch.Generator().manual_seed(1))
    grads = [torch.autograd.grad((w * direction).sum() + (p * p).sum(), [query, keys]) for _, w, _, p in (mine, theirs)]
    for a, b in zip(*grads):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def test_select_respects_bank_length_and_blocked_rows(ops):
    query, keys = bank(4, 20, 8)
    length = torch.tensor([20, 7, 1, 0], dtype=torch.int32)
    blocked = torch.rand(4, 20, generator=torch.Generator().manual_seed(2)) < 0.4
    for mask in (None, blocked, blocked[0], torch.ones(20, dtype=torch.bool)):
        mine, theirs = run_select(ops, query, keys, length, mask), reference.select(query, keys, length, mask)
        assert torch.equal(mine[0], theirs[0]) and torch.equal(mine[2], theirs[2])
        torch.testing.assert_close(mine[1], theirs[1])
    assert run_select(ops, query, keys, length)[2][3] == 0
    junk = keys.clone()
    for b in range(4):
        junk[b, length[b]:] = math.nan
    assert all(torch.equal(a, b) for a, b in zip(run_select(ops, query, junk, length), run_select(ops, query, keys, length)))


def test_select_flat_saturated_and_tied_keys(ops):
    flat = run_select(ops, torch.ones(2, 4), torch.ones(2, 40, 4), max_tokens=8, merge=4)
    assert flat[2].tolist() == [8, 8] and flat[0][0].flatten().tolist() == list(range(32))
    torch.testing.assert_close(flat[3], torch.full((2,), 8 * (1 - 1 / 4)))
    sharp = torch.zeros(1, 40, 4)
    sharp[0, :, 0] = -1e4 * torch.arange(40)
    assert run_select(ops, torch.eye(1, 4) * 10, sharp, threshold=2.0)[2].item() == 2
    query, keys = bank(3, 12, 5, dtype=torch.float32)
    doubled = keys.repeat_interleave(3, dim=1)
    index = run_select(ops, query, doubled, merge=3, max_tokens=4, threshold=1.5)[0]
    first = index[:, 0] // 3
    assert (first == first[:, :1]).all() and (index[:, 0].diff(dim=1) == 1).all()
    zeros = torch.tensor([[[-0.0], [0.0], [-0.0]]])
    assert run_select(ops, torch.ones(1, 1), zeros, merge=3)[0][0, 0].tolist() == [0, 1, 2]


def test_select_shows_nan_and_ends(ops):
    query, keys = bank(2, 20, 4, dtype=torch.float32)
    keys[0, 7] = math.nan
    index, weight, length, ponder = run_select(ops, query, keys)
    assert index[0, 0, 0] == 7 and weight[0].isnan().any() and ponder[0].isnan() and 1 <= length[0] <= 8
    clean = run_select(ops, query[1:], keys[1:])
    assert torch.equal(weight[1:], clean[1]) and torch.equal(ponder[1:], clean[3])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_select_low_precision_keys_select_in_float32(ops, dtype):
    query, keys = bank(4, 30, 16, dtype=dtype)
    mine = run_select(ops, query, keys)
    theirs = reference.select(query.double(), keys.double())
    assert mine[1].dtype == mine[3].dtype == torch.float32
    assert torch.equal(mine[0], theirs[0]) and torch.equal(mine[2], theirs[2])
    torch.testing.assert_close(mine[1].double(), theirs[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [F64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shared", [False, True])
def test_gather_matches_the_reference(ops, shared, dtype):
    query, keys = bank(4, 12, 6, shared)
    index, weight, length, _ = run_select(ops, query, keys)
    length[1] = 0
    cu = offsets(length)
    values = torch.randn(*keys.shape[:-1], 9, dtype=F64).to(dtype)
    weight = weight.to(F64 if dtype == F64 else torch.float32)
    total = int(cu[-1])
    leaves = [values.clone().requires_grad_(), weight.clone().requires_grad_()]
    exact = [values.double().requires_grad_(), weight.double().requires_grad_()]
    tape, expected = ops.tape_gather(leaves[0], index, leaves[1], cu, total + 3), reference.gather(exact[0], index, exact[1], cu)
    assert (tape[total:] == 0).all()
    step = torch.finfo(dtype).eps
    torch.testing.assert_close(tape[:total].double(), expected, rtol=4 * step, atol=4 * step)
    direction = torch.randn(total, 9, dtype=F64).to(dtype)
    tape[:total].backward(direction)
    expected.backward(direction.double())
    for a, b in zip(leaves, exact):
        torch.testing.assert_close(a.grad.double(), b.grad, rtol=8 * step, atol=16 * step)


SHAPES = {
    "self": ([3, 1, 16, 17, 5], [3, 1, 16, 17, 5]),
    "cross": ([1, 4, 2], [31, 33, 64]),
    "some_empty": ([0, 3, 2, 0], [5, 0, 2, 0]),
    "all_empty": ([0, 0], [0, 0]),
    "no_sequence": ([], []),
    "long_and_short": ([257, 1, 2], [257, 1, 2]),
}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("width", [1, 5, 16, 64])
@pytest.mark.parametrize("name", SHAPES)
def test_attention_matches_the_reference(ops, name, width, causal):
    args = sequences(*SHAPES[name], width=width)
    leaves = [a.clone().requires_grad_() for a in args[:3]]
    exact = [a.clone().requires_grad_() for a in args[:3]]
    out, lse = ops.ragged_attention(*leaves, *args[3:], causal=causal)
    expected, expected_lse = reference.attention(*exact, *args[3:5], causal=causal)
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(lse, expected_lse, rtol=1e-10, atol=1e-12)
    direction = torch.randn(out.shape, dtype=F64, generator=torch.Generator().manual_seed(3))
    (out * direction).sum().backward()
    if expected.requires_grad:  # no query has a key: the reference is a constant
        (expected * direction).sum().backward()
    for a, b in zip(leaves, exact):
        torch.testing.assert_close(a.grad, b.grad if b.grad is not None else torch.zeros_like(b), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_attention_precision(ops, dtype):
    args = sequences([20, 3, 64], [20, 3, 64], width=32, dtype=dtype)
    leaves = [a.clone().requires_grad_() for a in args[:3]]
    exact = [a.double().requires_grad_() for a in args[:3]]
    out, lse = ops.ragged_attention(*leaves, *args[3:])
    expected, expected_lse = reference.attention(*exact, *args[3:5])
    assert lse.dtype == torch.float32
    step = torch.finfo(dtype).eps
    torch.testing.assert_close(out.double(), expected, rtol=2 * step, atol=8 * step)
    torch.testing.assert_close(lse.double(), expected_lse, rtol=1e-5, atol=1e-5)
    out.backward(torch.ones_like(out))
    expected.backward(torch.ones_like(expected))
    for a, b in zip(leaves, exact):
        torch.testing.assert_close(a.grad.double(), b.grad, rtol=8 * step, atol=16 * step)


@pytest.mark.parametrize("tails", [[3, 0, 5, 1], [0, 0, 0, 0]])
def test_a_tail_equals_the_concatenation(ops, tails):
    (q, k, v, cu), order, base, tail, longest = with_tails([2, 4, 0, 1], tails)
    whole = [t.clone().requires_grad_() for t in (q, k, v)]
    split = [t[order].clone().requires_grad_() for t in (q, k, v)]
    one, lse_one = ops.ragged_attention(*whole, cu, cu, longest, longest)
    two, lse_two = ops.ragged_attention(*split, base, base, longest, longest, tail_q=tail, tail_k=tail)
    assert torch.equal(two, one[order]) and torch.equal(lse_two, lse_one[:, order])
    one.backward(q)
    two.backward(q[order])
    assert all(torch.equal(b.grad, a.grad[order]) for a, b in zip(whole, split))


def test_rows_of_no_sequence_are_zero_and_junk_outside_changes_nothing(ops):
    q, k, v, cu, _, n, _ = sequences([3, 4], [3, 4])
    junk = lambda t: torch.cat([t, torch.full_like(t[:2], math.nan)])
    out, lse = ops.ragged_attention(junk(q), junk(k), junk(v), cu, cu, n, n)
    clean, clean_lse = ops.ragged_attention(q, k, v, cu, cu, n, n)
    assert torch.equal(out[:7], clean) and (out[7:] == 0).all()
    assert torch.equal(lse[:, :7], clean_lse) and (lse[:, 7:] == -math.inf).all()


def test_examples_do_not_depend_on_their_batch_mates(ops):
    query, keys = bank(6, 25, 8, dtype=torch.float32)
    pick = torch.tensor([4, 4, 1, 0])
    all_, some = run_select(ops, query, keys), run_select(ops, query[pick], keys[pick])
    assert all(torch.equal(a[pick], b) for a, b in zip(all_, some))
    lengths = [4, 1, 9, 0, 30]
    q, k, v, cu, _, n, _ = sequences(lengths, lengths, dtype=torch.float32)
    out = ops.ragged_attention(q, k, v, cu, cu, n, n)[0]
    for b, length in enumerate(lengths):
        rows = slice(int(cu[b]), int(cu[b + 1]))
        alone = ops.ragged_attention(q[rows], k[rows], v[rows], offsets([length]), offsets([length]), length, length)[0]
        assert torch.equal(alone, out[rows])


def everything(ops, seed=0):
    """Outputs and gradients of a step through all three ops, on enough work for several threads."""
    query, values = bank(64, 200, 32, seed=seed, dtype=torch.float32)
    shared = torch.randn(300, 32, generator=torch.Generator().manual_seed(seed))
    results = []
    for source in (values, shared):
        leaves = [query.clone().requires_grad_(), source.clone().requires_grad_()]
        index, weight, length, ponder = run_select(ops, leaves[0], leaves[1][..., :32])
        cu = offsets(length)
        tape = ops.tape_gather(leaves[1], index, weight, cu, int(cu[-1]))
        heads = tape.view(-1, 4, 8)
        out, lse = ops.ragged_attention(heads, heads, heads, cu, cu, 8, 8)
        (out.square().sum() + ponder.sum()).backward()
        results += [index, weight, length, ponder, tape.detach(), out.detach(), lse, leaves[0].grad, leaves[1].grad]
    return results


def test_thread_count_and_repetition_change_no_bit(ops):
    before = torch.get_num_threads()
    try:
        runs = []
        for threads in (1, 2, 3, 2):
            torch.set_num_threads(threads)
            runs.append(everything(ops))
    finally:
        torch.set_num_threads(before)
    for run in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], run))


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512", "mmx"])
def test_every_instruction_set_gives_the_same_numbers(ops, isa, tmp_path):
    code = ("import sys, torch\nsys.path.insert(0, sys.argv[1])\n"
            "from ops.test_ops import everything\n"
            "torch.ops.load_library(sys.argv[2])\ntorch.save(everything(torch.ops.adatape), sys.argv[3])\n")
    result = subprocess.run([sys.executable, "-c", code, os.path.dirname(os.path.dirname(__file__)),
                             BUILD / "libadatape_ops.so", tmp_path / "out.pt"],
                            env={**os.environ, "ADATAPE_CPU_ISA": isa}, capture_output=True, text=True)
    if result.returncode != 0:  # a set that this machine lacks, or nobody has
        assert isa != "baseline" and "ADATAPE_CPU_ISA" in result.stderr, result.stderr
        return
    for a, b in zip(torch.load(tmp_path / "out.pt"), everything(ops)):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_large_shared_bank_and_long_sequences(ops):
    query, keys = bank(3, 10000, 64, shared=True)
    mine, theirs = run_select(ops, query, keys, max_tokens=10, merge=5), reference.select(query, keys, max_tokens=10, merge=5)
    assert torch.equal(mine[0], theirs[0])
    args = sequences([1000, 3], [1000, 3], heads=1, width=16)
    torch.testing.assert_close(ops.ragged_attention(*args)[0], reference.attention(*args[:5])[0], rtol=1e-10, atol=1e-12)


def test_meta_and_fake_tensors_know_the_shapes(ops):
    query, keys = torch.empty(7, 16, device="meta"), torch.empty(7, 2**20, 16, device="meta")
    index, weight, length, ponder = ops.tape_select(query, keys, None, None, 10, 2.0, 5)
    assert index.shape == weight.shape == (7, 10, 5) and length.shape == ponder.shape == (7,)
    compiled = torch.compile(lambda v, i, w, o, n: ops.tape_gather(v, i, w, o, n) * 2, backend="eager", fullgraph=True, dynamic=True)
    query, keys = bank(3, 14, 8, dtype=torch.float32)
    index, weight, length, _ = run_select(ops, query, keys)
    cu = offsets(length)
    torch.testing.assert_close(compiled(keys, index, weight, cu, int(cu[-1])), 2 * ops.tape_gather(keys, index, weight, cu, int(cu[-1])))


def test_the_documents_example_runs(ops):
    text = (ROOT / "docs/ops.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    exec(code.replace("build/libadatape_ops.so", str(BUILD / "libadatape_ops.so")), {})
