"""Where ops like to break: unusual memory, empty and tied inputs, infinities, long sums, inconsistent saved tensors."""
import itertools
import math
import os
import subprocess
import sys

import pytest
import torch

from conftest import BUILD
from ops import reference
from ops.inputs import F64, SELECT, bank, offsets, run_select, sequences, with_tails


@pytest.fixture
def poisoned():
    """Memory that an op allocates and forgets to write holds NaN, or the largest integer."""
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory and torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


def gradients(outputs, inputs, upstream):
    return torch.autograd.grad([o for o, g in zip(outputs, upstream) if g is not None], inputs,
                               [g for g in upstream if g is not None])


def strided(t):
    """The same values behind other strides: a slice of wider rows, second dimension outermost, NaN between."""
    wide = torch.full((t.shape[1], t.shape[0], *t.shape[2:-1], t.shape[-1] + 3), math.nan, dtype=t.dtype)
    view = wide.transpose(0, 1)[..., 2:-1]
    view.copy_(t)
    return view


def as_query(t):  # [B, C] has no second dimension to swap
    return strided(t[:, None])[:, 0]


def test_strided_and_expanded_inputs_give_the_same_bits(ops):
    query, keys = bank(4, 20, 7, dtype=torch.float32)
    keys = keys[:1].expand(4, 20, 7)
    args = [(query, keys.clone()), (as_query(query), strided(keys)), (query, keys)]
    results = []
    for inputs in args:
        leaves = [t.detach().requires_grad_() for t in inputs]
        _, weight, _, ponder = outputs = run_select(ops, *leaves)
        results.append([*outputs, *gradients([weight, ponder], leaves, [weight.detach(), ponder.sin().detach()])])
    q, k, v, cu, _, n, _ = sequences([3, 17, 1], [3, 17, 1], width=9, dtype=torch.float32)
    upstream = torch.randn_like(q)
    for inputs, g in (((q, k, v), upstream), ((strided(q), strided(k), strided(v)), strided(upstream))):
        leaves = [t.detach().requires_grad_() for t in inputs]
        out, lse = ops.ragged_attention(*leaves, cu, cu, n, n)
        results.append([out, lse, *torch.autograd.grad(out, leaves, g)])
    for one, other in ((0, 1), (0, 2), (3, 4)):
        assert all(torch.equal(a, b) for a, b in zip(results[one], results[other]))


@pytest.mark.parametrize("batch, rows, width, heads", [(0, 5, 3, 2), (2, 0, 3, 2), (2, 5, 0, 2), (2, 5, 3, 0)])
def test_nothing_to_do_gives_the_right_shapes_and_zero_gradients(ops, poisoned, batch, rows, width, heads):
    for keys in (torch.randn(batch, rows, 4), torch.randn(rows, 4)):
        leaves = [torch.randn(batch, 4, requires_grad=True), keys.requires_grad_()]
        index, weight, length, ponder = run_select(ops, *leaves)
        assert weight.shape == index.shape == (batch, 8, 4) and length.shape == ponder.shape == (batch,)
        for leaf, grad in zip(leaves, torch.autograd.grad(weight.sum() + ponder.sum(), leaves)):
            assert grad.shape == leaf.shape and grad.isfinite().all()
    cu = offsets(length)
    values = torch.randn(batch, rows, width, requires_grad=True)
    tape = ops.tape_gather(values, index, weight.detach(), cu, int(cu[-1]) + 2)
    assert tape.shape == (int(cu[-1]) + 2, width) and tape.isfinite().all()
    assert torch.autograd.grad(tape.sum(), values)[0].shape == values.shape
    q = torch.randn(rows, heads, 4, requires_grad=True)
    everyone = offsets([rows] if batch else [])
    out, lse = ops.ragged_attention(q, q, q, everyone, everyone, rows, rows)
    assert out.shape == q.shape and lse.shape == (heads, rows)
    assert torch.autograd.grad(out.sum(), q)[0].isfinite().all()


def test_every_output_is_written(ops, poisoned):
    query, keys = bank(4, 9, 6, dtype=torch.float32)
    leaves = [query.requires_grad_(), keys.requires_grad_()]
    index, weight, length, ponder = run_select(ops, *leaves, bank_length=torch.tensor([9, 5, 1, 0], dtype=torch.int32))
    assert index.max() < 9 and weight.isfinite().all() and length.max() <= 8
    cu = offsets(length)
    tape = ops.tape_gather(keys, index, weight, cu, 40)
    (q, k, v, _), order, base, tail, longest = with_tails([2, 0, 3], [1, 4, 0], dtype=torch.float32)
    rows = [torch.cat([t[order], torch.randn(3, 2, 8)]).requires_grad_() for t in (q, k, v)]
    out, lse = ops.ragged_attention(*rows, base, base, longest, longest, tail_q=tail, tail_k=tail)
    assert tape.isfinite().all() and out.isfinite().all() and not lse.isnan().any()
    for g in torch.autograd.grad(tape.sum() + ponder.sum() + out.sum(), [*leaves, *rows]):
        assert g.isfinite().all()


def test_inconsistent_saved_tensors_leave_no_memory_unwritten(ops, poisoned):
    """Rows behind a step's first -1, and steps behind the length, do not count; repeated rows add up."""
    query, keys = bank(2, 6, 4, dtype=torch.float32)
    index = torch.tensor([[[3, -1, 2], [1, 1, 0]], [[0, 4, 5], [5, 5, 5]]], dtype=torch.int32)
    clean = torch.tensor([[[3, -1, -1], [1, 1, 0]], [[0, 4, 5], [-1, -1, -1]]], dtype=torch.int32)
    weight, length = torch.rand(2, 2, 3) + 0.1, torch.tensor([2, 1], dtype=torch.int32)
    for bank_ in (keys, keys[0]):
        mine, theirs = (ops.tape_select_backward(torch.ones(2, 2, 3), torch.ones(2), query, bank_, i, weight, length,
                                                 "gini", True, None) for i in (index, clean))
        assert all(a.isfinite().all() and torch.equal(a, b) for a, b in zip(mine, theirs))
    cu = offsets([1, 2])
    assert ops.tape_gather_backward(torch.ones(3, 4), keys, index, weight, cu, [False, False]) == (None, None)
    grads = ops.tape_gather_backward(torch.ones(3, 4), keys, index, weight, cu, [True, True])
    assert all(g.isfinite().all() for g in grads)


SPECIAL = [math.inf, -math.inf, math.nan, 0.0, -0.0, 3e38, 1e-45]


@pytest.mark.parametrize("options", ["gini", "max", "plain_query"])
def test_infinities_and_nan_are_ordered_as_in_the_reference(ops, options):
    g = torch.Generator().manual_seed(0)
    for trial in range(60):
        query, keys = torch.randn(2, 3, generator=g), torch.randn(2, 11, 3, generator=g)
        for value in torch.randint(0, len(SPECIAL), (3,), generator=g).tolist():
            target = (query, keys)[trial % 2].view(-1)
            target[torch.randint(0, len(target), (), generator=g)] = SPECIAL[value]
        mine, theirs = (f(query, keys, **SELECT[options]) for f in (lambda *a, **o: run_select(ops, *a, **o), reference.select))
        assert torch.equal(mine[0], theirs[0]) and torch.equal(mine[2], theirs[2])
        for a, b in zip(mine[1::2], theirs[1::2]):
            torch.testing.assert_close(a, b, equal_nan=True, rtol=1e-4, atol=1e-4)


def test_a_threshold_too_small_for_float32_still_lets_one_step_happen(ops):
    query, keys = bank(2, 9, 4, dtype=torch.float32)
    assert run_select(ops, query, keys, threshold=1e-60)[2].tolist() == [1, 1]


def test_any_byte_but_zero_blocks_a_row(ops):
    query, keys = bank(2, 9, 4, dtype=torch.float32)
    odd = torch.tensor([0, 2, 0, 255, 0, 1, 0, 128, 0], dtype=torch.uint8)
    mine, expected = (run_select(ops, query, keys, blocked=b) for b in (odd.view(torch.bool), odd != 0))
    assert all(torch.equal(a, b) for a, b in zip(mine, expected))


def test_tails_may_lie_anywhere_but_on_the_bases(ops):
    (q, k, v, cu), order, base, tail, longest = with_tails([2, 4, 1], [3, 0, 2], dtype=torch.float32)
    split = [t[order] for t in (q, k, v)]
    expected = ops.ragged_attention(*split, base, base, longest, longest, tail_q=tail, tail_k=tail)[0]
    moved = [torch.cat([t[7:], t[:7]]) for t in split]  # the tails first
    base, tail = base + 5, tail - 7
    out = ops.ragged_attention(*moved, base, base, longest, longest, tail_q=tail, tail_k=tail)[0]
    assert torch.equal(torch.cat([out[5:], out[:5]]), expected)
    nowhere = torch.zeros(4, dtype=torch.int32)  # no tail at all, wherever it says it starts
    alone = ops.ragged_attention(*moved, base, base, longest, longest, tail_q=nowhere, tail_k=nowhere)[0]
    assert torch.equal(alone, ops.ragged_attention(*moved, base, base, longest, longest)[0])
    with pytest.raises(RuntimeError, match=r"^\[ragged_attention\] tail_k and cu_seqlens_k overlap: both hold row 6"):
        ops.ragged_attention(*moved, base, base, longest, longest, tail_q=nowhere, tail_k=torch.tensor([6, 8, 8, 8]).int())


@pytest.mark.parametrize("dtype", [F64, torch.float32, torch.bfloat16])
def test_a_bank_row_that_many_examples_read(ops, dtype):
    """Its gradient is a sum of hundreds of terms, added up in blocks."""
    query, keys = bank(150, 12, 6, shared=True, dtype=dtype)
    mine, exact = ([t.to(d).clone().requires_grad_() for t in (query, keys)] for d in (dtype, F64))
    index, weight, length, ponder = run_select(ops, *mine)
    reference_index, reference_weight, _, reference_ponder = reference.select(*exact)
    assert torch.equal(index, reference_index)
    cu = offsets(length)
    tape = ops.tape_gather(mine[1], index, weight, cu, int(cu[-1]))
    reference_tape = reference.gather(exact[1], index, reference_weight, cu)
    grads = torch.autograd.grad(tape.double().square().sum() + ponder.double().sum(), mine)
    expected = torch.autograd.grad(reference_tape.square().sum() + reference_ponder.sum(), exact)
    for a, b in zip(grads, expected):
        assert (a.double() - b).abs().max() <= 8 * torch.finfo(dtype).eps * b.abs().max()


def test_gradients_of_an_example_do_not_depend_on_its_batch_mates(ops):
    query, keys = bank(5, 25, 8, dtype=torch.float32)
    upstream = torch.randn(5, 8, 4), torch.randn(5)
    whole = [query.clone().requires_grad_(), keys.clone().requires_grad_()]
    grads = gradients(run_select(ops, *whole)[1::2], whole, upstream)
    for pick in ([4, 3, 2, 1, 0], [2, 2, 0], [3]):
        part = [query[pick].clone().requires_grad_(), keys[pick].clone().requires_grad_()]
        some = gradients(run_select(ops, *part)[1::2], part, [u[pick] for u in upstream])
        assert all(torch.equal(a[pick], b) for a, b in zip(grads, some))


def error(x, exact):
    return ((x.detach().double() - exact).abs().max() / exact.abs().max()).item()


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_attention_is_at_most_twice_as_inexact_as_the_naive_way(ops, dtype, size, causal):
    args = sequences([20, 1, 64], [20, 1, 64], width=16, dtype=dtype, seed=size)
    tensors = [size * args[0], size * args[1], args[2]]
    upstream = torch.randn(tensors[0].shape, generator=torch.Generator().manual_seed(9)).to(dtype)

    def run(attention, precision):
        leaves = [t.to(precision).clone().requires_grad_() for t in tensors]
        out = attention(*leaves)
        return [out, *torch.autograd.grad(out, leaves, upstream.to(precision))]

    def naive(*leaves):
        return reference.attention(*leaves, *args[3:5], causal=causal)[0]

    mine = run(lambda *leaves: ops.ragged_attention(*leaves, *args[3:], causal=causal)[0], dtype)
    for ours, theirs, exact in zip(mine, run(naive, dtype), run(naive, F64)):
        assert error(ours, exact.detach()) <= max(2 * error(theirs, exact.detach()), 1e-6)


@pytest.mark.parametrize("symbols", [None, 3])
def test_selection_is_at_most_twice_as_inexact_as_the_naive_way(ops, symbols):
    """Few symbols: many rows tie, and the query's gradient is a difference of nearly equal numbers."""
    for seed in range(8):
        query, keys = bank(4, 16, 8, seed=seed, dtype=torch.float32)
        if symbols:
            g = torch.Generator().manual_seed(seed)
            keys = keys[0, torch.randint(0, symbols, (4, 16), generator=g)]
        upstream = torch.ones(4, 8, 4).cumsum(2), torch.ones(4)

        def run(select, precision):
            leaves = [t.to(precision).clone().requires_grad_() for t in (query, keys)]
            index, weight, _, ponder = select(*leaves)
            return index, [weight, ponder, *gradients([weight, ponder], leaves, [u.to(precision) for u in upstream])]

        results = [run(lambda *a: run_select(ops, *a), torch.float32), run(reference.select, torch.float32),
                   run(reference.select, F64)]
        assert torch.equal(results[0][0], results[2][0])
        ours, theirs, exact = (values for _, values in results)
        worst = [max(error(a, b.detach()) for a, b in zip(values, exact)) for values in (ours, theirs)]
        assert worst[0] <= max(2 * worst[1], 1e-6), (seed, worst)


def test_memory_that_a_kernel_cannot_get_is_a_sentence():
    """An expanded key costs nothing, its working copy would cost 16 GiB."""
    code = ("import resource, sys, torch\n"
            "torch.ops.load_library(sys.argv[1])\n"
            "key = torch.zeros(1, 1, 256).expand(2**24, 1, 256)\n"
            "limit = 2**33 + int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
            "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
            "one, all = (torch.tensor([0, n], dtype=torch.int32) for n in (1, 2**24))\n"
            "torch.ops.adatape.ragged_attention(key[:1], key, key, one, all, 1, 2**24)\n")
    result = subprocess.run([sys.executable, "-c", code, BUILD / "libadatape_ops.so"], capture_output=True, text=True)
    assert "RuntimeError: [ragged_attention] not enough memory" in result.stderr, result.stderr[-500:]


def test_an_empty_name_of_an_instruction_set_is_none(ops):
    code = ("import sys, torch\ntorch.ops.load_library(sys.argv[1])\n"
            "print(torch.ops.adatape.tape_select(torch.ones(1, 2), torch.ones(3, 2), None, None, 2, 1.0, 2)[2].item())\n")
    run = {name: subprocess.run([sys.executable, "-c", code, BUILD / "libadatape_ops.so"], capture_output=True, text=True,
                                env={**os.environ, "ADATAPE_CPU_ISA": name}) for name in ("", "sse9")}
    assert run[""].stdout == "2\n", run[""].stderr
    assert "[tape_select] ADATAPE_CPU_ISA is 'sse9'" in run["sse9"].stderr


def test_tied_rows_are_read_in_the_order_of_their_indices(ops):
    """All banks of six rows of two kinds; the order is known without a reference."""
    for symbols in itertools.product(range(2), repeat=6):
        keys = torch.eye(2)[list(symbols)]
        index = run_select(ops, torch.tensor([[2.0, 1.0]]), keys, max_tokens=2, threshold=2.0, merge=3)[0]
        assert index[0, 0].tolist() == sorted(range(6), key=lambda i: (symbols[i], i))[:3]


@pytest.mark.parametrize("longest", [1000, 1024, 1025, 1300, 2047, 2048, 2049, 3000])
def test_attention_at_every_size_of_a_block(ops, longest):
    """Scores are kept for fewer queries at once the more keys there are; short sequences stand beside them."""
    keys = [longest, 5, longest // 2]
    q, k, v, cu_q, cu_k, n, m = sequences([70, 5, 3], keys, heads=1, width=64, dtype=torch.float32, seed=longest)
    upstream = torch.randn(q.shape, generator=torch.Generator().manual_seed(1))
    leaves = [t.requires_grad_() for t in (q, k, v)]
    out, lse = ops.ragged_attention(*leaves, cu_q, cu_k, n, m)
    mine = [out, lse, *torch.autograd.grad(out, leaves, upstream)]
    wide = [t.detach().double().requires_grad_() for t in (q, k, v)]
    truth, truth_lse = reference.attention(*wide, cu_q, cu_k)
    theirs = [truth, truth_lse, *torch.autograd.grad(truth, wide, upstream.double())]
    for a, b in zip(mine, theirs):
        torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-5)
