"""The ops from Python: against per-example references, opcheck, gradcheck, invariances, limits and errors."""
import math
import os
import subprocess
import sys

import pytest
import torch
from torch.autograd import gradcheck
from torch.library import opcheck

from conftest import BUILD
from ops import reference

F64 = torch.float64


def bank(batch, rows, width, shared=False, seed=0, dtype=F64):
    """A query and keys whose scores are far enough apart that no decision hangs on rounding."""
    g = torch.Generator().manual_seed(seed)
    query = torch.randn(batch, width, generator=g, dtype=F64)
    keys = torch.randn(*([] if shared else [batch]), rows, width, generator=g, dtype=F64)
    return query.to(dtype), keys.to(dtype)


def offsets(lengths):
    return torch.cat([torch.zeros(1, dtype=torch.int64), torch.as_tensor(lengths, dtype=torch.int64).cumsum(0)]).int()


SELECT = {
    "gini": dict(),
    "max": dict(penalty="max"),
    "plain_query": dict(average_query=False),
    "one_row": dict(merge=1, max_tokens=5, threshold=3.0),
    "threshold_one": dict(threshold=1.0, merge=8),
    "scale": dict(scale=0.9),
    "long": dict(max_tokens=12, threshold=2.5, merge=4),
}


def run_select(ops, query, keys, bank_length=None, blocked=None, **o):
    return ops.tape_select(query, keys, bank_length, blocked, o.get("max_tokens", 8), o.get("threshold", 2.0),
                           o.get("merge", 4), o.get("penalty", "gini"), o.get("average_query", True), o.get("scale"))


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


def sequences(q_lengths, k_lengths, heads=2, width=8, dtype=F64, seed=0):
    g = torch.Generator().manual_seed(seed)
    make = lambda n: torch.randn(n, heads, width, generator=g, dtype=F64).to(dtype)
    cu_q, cu_k = offsets(q_lengths), offsets(k_lengths)
    return make(int(cu_q[-1])), make(int(cu_k[-1])), make(int(cu_k[-1])), cu_q, cu_k, max(q_lengths, default=0), max(k_lengths, default=0)


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


def with_tails(lengths, tails, **options):
    """The same sequences as one segment each, and with the last `tails` rows of each stored behind all bases."""
    q, k, v, cu, _, longest, _ = sequences([a + b for a, b in zip(lengths, tails)], [a + b for a, b in zip(lengths, tails)], **options)
    base, behind = [], []
    for b, (n, t) in enumerate(zip(lengths, tails)):
        base += range(int(cu[b]), int(cu[b]) + n)
        behind += range(int(cu[b]) + n, int(cu[b]) + n + t)
    order = torch.tensor(base + behind, dtype=torch.long)
    return (q, k, v, cu), order, offsets(lengths), (offsets(tails) + sum(lengths)).int(), longest


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


def op_calls(dtype=torch.float32):
    """One call of every op, forward and backward, with strided views and optional arguments: (name, args, kwargs)."""
    query, keys = bank(3, 14, 8, dtype=dtype)
    wide = torch.randn(3, 14, 16, dtype=dtype)
    calls = [("tape_select", (query, keys, None, None, 6, 2.0, 3), {}),
             ("tape_select", (query, wide[..., :8], torch.tensor([14, 2, 0], dtype=torch.int32),
                              torch.zeros(14, dtype=torch.bool), 6, 2.0, 3, "max", False, 0.5), {}),
             ("tape_select", (query, keys[0], None, None, 6, 2.0, 3), {})]
    index, weight, length, ponder = torch.ops.adatape.tape_select(*calls[0][1])
    calls.append(("tape_select_backward", (torch.ones_like(weight), torch.ones_like(ponder), query, keys, index, weight,
                                           length, "gini", True, None), {}))
    cu = offsets(length)
    total = int(cu[-1])
    for values in (wide, wide[0], wide[..., 4:12]):
        calls.append(("tape_gather", (values, index, weight, cu, total), {}))
        calls.append(("tape_gather_backward", (torch.ones(total, values.shape[-1], dtype=dtype), values, index, weight, cu,
                                               [True, True]), {}))
    (q, k, v, cu), order, base, tail, longest = with_tails([2, 4, 1], [3, 0, 2], dtype=dtype)
    qkv = torch.stack([q, k, v], 1)
    for args, kwargs in ((((qkv[:, 0], qkv[:, 1], qkv[:, 2], cu, cu, longest, longest)), dict(causal=True)),
                         ((q[order], k[order], v[order], base, base, longest, longest),
                          dict(tail_q=tail, tail_k=tail, scale=0.3))):
        out, lse = torch.ops.adatape.ragged_attention(*args, **kwargs)
        calls.append(("ragged_attention", args, kwargs))
        calls.append(("ragged_attention_backward", (torch.ones_like(out), *args[:3], out, lse, *args[3:]), kwargs))
    return calls


def differentiable(args):
    return tuple(a.detach().requires_grad_() if isinstance(a, torch.Tensor) and a.is_floating_point() else a for a in args)


ALL_BUT_AOT = ("test_schema", "test_autograd_registration", "test_faketensor")


def test_opcheck(ops):
    for name, args, kwargs in op_calls():
        op = getattr(ops, name).default
        opcheck(op, args, kwargs)
        if name == "tape_select":
            # opcheck's AOT test adds all outputs up, integers first, and cannot: the next test does its work.
            opcheck(op, differentiable(args), kwargs, test_utils=ALL_BUT_AOT)
        elif not name.endswith("backward"):
            opcheck(op, differentiable(args), kwargs)


@pytest.mark.parametrize("dynamic", [False, True])
def test_select_differentiates_under_aot_autograd(ops, dynamic):
    def read(query, keys):
        _, weight, _, ponder = run_select(ops, query, keys)
        return weight.square().sum() + ponder.sum()

    inputs = bank(3, 20, 8, dtype=torch.float32)
    grads = []
    for f in (read, torch.compile(read, backend="aot_eager", fullgraph=True, dynamic=dynamic)):
        leaves = [t.clone().requires_grad_() for t in inputs]
        grads.append(torch.autograd.grad(f(*leaves), leaves))
    assert all(torch.equal(a, b) for a, b in zip(*grads))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("rows", [3, 7, 22])
@pytest.mark.parametrize("name", SELECT)
def test_gradcheck_select_and_gather(ops, name, rows, shared):
    query, keys = bank(2, rows, 3, shared, seed=5)

    def read(query, values):
        index, weight, length, ponder = run_select(ops, query, values[..., :3], **SELECT[name])
        cu = offsets(length)
        return ops.tape_gather(values, index, weight, cu, int(cu[-1])), weight, ponder

    values = torch.cat([keys, torch.randn(*keys.shape[:-1], 2, dtype=F64)], -1)
    assert gradcheck(read, (query.requires_grad_(), values.requires_grad_()))


def test_gradcheck_attention(ops):
    (q, k, v, cu), order, base, tail, longest = with_tails([2, 3, 0], [1, 0, 2], width=3)
    run = lambda q, k, v: ops.ragged_attention(q, k, v, base, base, longest, longest, tail_q=tail, tail_k=tail)[0]
    assert gradcheck(run, tuple(t[order].requires_grad_() for t in (q, k, v)))
    q, k, v, cu_q, cu_k, nq, nk = sequences([2, 0, 3], [4, 2, 1], width=3)
    causal = lambda q, k, v: ops.ragged_attention(q, k, v, cu_q, cu_k, nq, nk, causal=True)[0]
    assert gradcheck(causal, tuple(t.requires_grad_() for t in (q, k, v)))


def test_partial_and_expanded_upstream_gradients(ops):
    query, keys = bank(3, 20, 4)
    for pick in (1, 3):
        leaves = [query.clone().requires_grad_(), keys.clone().requires_grad_()]
        exact = [query.clone().requires_grad_(), keys.clone().requires_grad_()]
        run_select(ops, *leaves)[pick].square().sum().backward()
        reference.select(*exact)[pick].square().sum().backward()
        for a, b in zip(leaves, exact):
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-9, atol=1e-11)
    q, k, v, cu, _, n, _ = sequences([3, 2], [3, 2])
    v.requires_grad_()
    ops.ragged_attention(q, k, v, cu, cu, n, n)[0].sum().backward()  # an expanded gradient
    torch.testing.assert_close(v.grad.sum(), torch.tensor(float(5 * 2 * 8), dtype=F64))


def test_second_derivatives_are_refused_with_a_sentence(ops):
    query, keys = bank(2, 9, 4)
    query.requires_grad_()
    grad, = torch.autograd.grad(run_select(ops, query, keys)[1].square().sum(), query, create_graph=True)
    with pytest.raises(RuntimeError, match="tape_select_backward"):
        grad.sum().backward()


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


def change(args, at, to):
    return tuple(to if i == at else a for i, a in enumerate(args))


def select_args():
    query, keys = bank(3, 14, 8, dtype=torch.float32)
    return (query, keys, None, None, 6, 2.0, 3, "gini", True, None)


def gather_args():
    index, weight, length, _ = torch.ops.adatape.tape_select(*select_args())
    cu = offsets(length)
    return (torch.randn(3, 14, 8), index, weight, cu, int(cu[-1]))


def attention_args():
    return sequences([3, 4], [3, 4], dtype=torch.float32)


ERRORS = [
    ("tape_select", select_args, 0, torch.randn(3), "query"),
    ("tape_select", select_args, 0, torch.randn(2, 8), "keys"),
    ("tape_select", select_args, 0, torch.randn(3, 8, dtype=F64), "keys"),
    ("tape_select", select_args, 0, torch.ones(3, 8, dtype=torch.int64), "query"),
    ("tape_select", select_args, 0, torch.randn(8, 3).t(), "query"),
    ("tape_select", select_args, 0, torch.randn(3, 8, device="meta"), "device|is on"),
    ("tape_select", select_args, 1, torch.randn(3, 14, 8, device="meta"), "is on"),
    ("tape_select", select_args, 1, torch.randn(3, 14, 7), "keys"),
    ("tape_select", select_args, 1, torch.randn(14), "keys"),
    ("tape_select", select_args, 2, torch.tensor([14, 14, 15], dtype=torch.int32), "bank_length"),
    ("tape_select", select_args, 2, torch.tensor([14, -1, 1], dtype=torch.int32), "bank_length"),
    ("tape_select", select_args, 2, torch.tensor([14, 1, 1]), "bank_length"),
    ("tape_select", select_args, 2, torch.tensor([14], dtype=torch.int32), "bank_length"),
    ("tape_select", select_args, 3, torch.zeros(13, dtype=torch.bool), "blocked"),
    ("tape_select", select_args, 3, torch.zeros(14), "blocked"),
    ("tape_select", select_args, 4, 0, "max_tokens"),
    ("tape_select", select_args, 5, 7.0, "could never halt"),
    ("tape_select", select_args, 5, 0.0, "threshold"),
    ("tape_select", select_args, 5, math.nan, "threshold"),
    ("tape_select", select_args, 6, 0, "merge"),
    ("tape_select", select_args, 7, "entropy", "'gini' or 'max'"),
    ("tape_gather", gather_args, 0, torch.randn(14), "values"),
    ("tape_gather", gather_args, 0, torch.randn(2, 14, 8), "values"),
    ("tape_gather", gather_args, 0, torch.randn(3, 2, 8), "index"),
    ("tape_gather", gather_args, 0, torch.randn(3, 14, 8, device="meta"), "is on"),
    ("tape_gather", gather_args, 1, torch.zeros(3, 6, 3), "index"),
    ("tape_gather", gather_args, 1, torch.full((3, 6, 3), 14, dtype=torch.int32), "index"),
    ("tape_gather", gather_args, 1, torch.full((3, 6, 3), -2, dtype=torch.int32), "index"),
    ("tape_gather", gather_args, 1, torch.zeros(3, 6, 3, dtype=torch.int32, device="meta"), "is on"),
    ("tape_gather", gather_args, 2, torch.zeros(3, 6, 2), "weight"),
    ("tape_gather", gather_args, 2, torch.zeros(3, 6, 3, dtype=F64), "weight"),
    ("tape_gather", gather_args, 3, torch.tensor([0, 2, 1, 3], dtype=torch.int32), "decrease"),
    ("tape_gather", gather_args, 3, torch.tensor([1, 2, 3, 4], dtype=torch.int32), "offsets"),
    ("tape_gather", gather_args, 3, torch.tensor([0, 1, 2, 99], dtype=torch.int32), "offsets"),
    ("tape_gather", gather_args, 3, torch.tensor([0, 1, 2, 3]), "offsets"),
    ("tape_gather", gather_args, 3, torch.tensor([0, 1], dtype=torch.int32), "offsets"),
    ("tape_gather", gather_args, 4, 1, "offsets"),
    ("tape_gather", gather_args, 4, -1, "offsets|total"),
    ("ragged_attention", attention_args, 0, torch.randn(7, 8), "query"),
    ("ragged_attention", attention_args, 0, torch.randn(7, 3, 8), "heads"),
    ("ragged_attention", attention_args, 0, torch.randn(7, 2, 8, dtype=F64), "key"),
    ("ragged_attention", attention_args, 0, torch.randn(7, 2, 8, device="meta"), "is on"),
    ("ragged_attention", attention_args, 1, torch.randn(7, 2, 8, device="meta"), "is on"),
    ("ragged_attention", attention_args, 1, torch.randn(7, 8, 2).transpose(1, 2), "dense"),
    ("ragged_attention", attention_args, 2, torch.randn(6, 2, 8), "value"),
    ("ragged_attention", attention_args, 3, torch.tensor([0, 3, 7]), "cu_seqlens_q"),
    ("ragged_attention", attention_args, 3, torch.tensor([0, 5, 3], dtype=torch.int32), "decrease"),
    ("ragged_attention", attention_args, 3, torch.tensor([0, 3, 8], dtype=torch.int32), "cu_seqlens_q"),
    ("ragged_attention", attention_args, 3, torch.tensor([-1, 3, 7], dtype=torch.int32), "cu_seqlens_q"),
    ("ragged_attention", attention_args, 4, torch.tensor([0, 7], dtype=torch.int32), "cu_seqlens_k"),
    ("ragged_attention", attention_args, 4, torch.tensor([0, 3, 7], dtype=torch.int32, device="meta"), "is on"),
    ("ragged_attention", attention_args, 5, 3, "max_q"),
    ("ragged_attention", attention_args, 6, 2, "max_k"),
]


@pytest.mark.parametrize("name, make, at, to, phrase", ERRORS, ids=[f"{e[0]}-{i}" for i, e in enumerate(ERRORS)])
def test_bad_arguments_are_sentences_that_begin_with_the_op(ops, name, make, at, to, phrase):
    with pytest.raises(RuntimeError, match=phrase) as error:
        getattr(ops, name)(*change(make(), at, to))
    assert str(error.value).startswith(f"[{name}] "), str(error.value)[:200]


def test_bad_tails_are_refused(ops):
    (q, k, v, _), order, base, tail, longest = with_tails([2, 2], [1, 1], dtype=torch.float32)
    call = lambda **o: ops.ragged_attention(q, k, v, base, base, longest, longest, **o)
    for bad in (tail - 1, tail + 1, tail.flip(0), tail.long(), tail[:2]):
        with pytest.raises(RuntimeError, match=r"^\[ragged_attention\] tail_k"):
            call(tail_q=tail, tail_k=bad)
    with pytest.raises(RuntimeError, match="causal"):
        call(tail_q=tail, tail_k=tail, causal=True)


def test_backward_ops_check_what_they_are_handed(ops):
    for name, args, kwargs in op_calls():
        if not name.endswith("backward"):
            continue
        op = getattr(ops, name)
        for i, a in enumerate(args):
            if not isinstance(a, torch.Tensor) or a.dim() == 0:
                continue
            for broken in (a[:-1], a.to(torch.int16), torch.empty_like(a, device="meta"), torch.full_like(a, 99) if a.dtype == torch.int32 else a[..., :-1]):
                with pytest.raises(RuntimeError, match=r"^\[" + name):
                    op(*change(args, i, broken), **kwargs)
