"""The ops under opcheck, gradcheck and AOT autograd."""
import itertools

import pytest
import torch
from torch.autograd import gradcheck
from torch.library import opcheck

from ops import reference
from ops.inputs import F64, SELECT, bank, differentiable, is_steady, offsets, op_calls, run_select, sequences, with_tails

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
    drawn = (bank(2, rows, 3, shared, seed) for seed in itertools.count(5))
    query, keys = next((q, k) for q, k in drawn if is_steady(q, k, SELECT[name]))

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
