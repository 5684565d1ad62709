"""Bad arguments: every one a sentence that begins with the op, before memory is touched."""
import math

import pytest
import torch

from ops.inputs import F64, bank, offsets, op_calls, sequences, with_tails


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
