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
    ("tape_select", select_args, 6, 2**30, "max_tokens 6 times merge"),
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
    ("tape_select", select_args, 0, torch.randn(3, 0), "query has no channels"),
    ("tape_select", select_args, 0, torch.randn(3, 8, dtype=torch.complex64), "query must be float32"),
    ("tape_select", select_args, 1, torch.ones(3, 14, 8, dtype=torch.bool), "keys must be"),
    ("tape_select", select_args, 1, torch.randn(3, 14, 16)[..., ::2], "keys has stride 2"),
    ("tape_select", select_args, 1, torch.zeros(1, 8).expand(2**31, 8), "keys has 2147483648 rows"),
    ("tape_select", select_args, 3, torch.zeros(2, 14, dtype=torch.bool), "blocked has shape"),
    ("tape_select", select_args, 3, torch.zeros(1, 3, 14, dtype=torch.bool), "blocked must have rank 1 or 2"),
    ("tape_select", select_args, 4, 2**31, "max_tokens is 2147483648"),
    ("tape_select", select_args, 5, math.inf, "threshold inf exceeds max_tokens"),
    ("tape_select", select_args, 5, -1.0, "threshold is -1"),
    ("tape_select", select_args, 6, 2**31, "merge is 2147483648"),
    ("tape_select", select_args, 7, "", "penalty must be"),
    ("tape_select", select_args, 9, -0.5, "scale is -0.5"),
    ("tape_select", select_args, 9, math.nan, "scale is nan"),
    ("tape_select", select_args, 9, math.inf, "scale is inf"),
    ("tape_gather", gather_args, 0, torch.randn(3, 8, 14).transpose(1, 2), "values has stride 14"),
    ("tape_gather", gather_args, 1, torch.zeros(3, 6, 3), "index must be int32"),
    ("tape_gather", gather_args, 1, torch.zeros(3, 18, dtype=torch.int32), "index must have rank 3"),
    ("tape_gather", gather_args, 1, torch.zeros(3, 0, 3, dtype=torch.int32), "weight has shape"),
    ("tape_gather", gather_args, 2, torch.zeros(3, 6, 3, device="meta"), "weight is on meta"),
    ("tape_gather", gather_args, 2, torch.zeros(3, 6, 3, dtype=torch.bfloat16), "weight must be float32"),
    ("tape_gather", gather_args, 3, torch.tensor([0, 9, 9, 9], dtype=torch.int32), "offsets give example 0 a tape of 9 rows"),
    ("tape_gather", gather_args, 3, torch.tensor([-1, 0, 1, 2], dtype=torch.int32), "offsets starts at -1"),
    ("tape_gather", gather_args, 3, torch.zeros(8, dtype=torch.int32)[::2], "offsets is not contiguous"),
    ("tape_gather", gather_args, 3, torch.zeros(4, 1, dtype=torch.int32), "offsets must have rank 1"),
    ("tape_gather", gather_args, 3, torch.zeros(4, dtype=torch.int32, device="meta"), "offsets is on meta"),
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
    ("ragged_attention", attention_args, 0, torch.randn(7, 2, 257), "query has head width 257"),
    ("ragged_attention", attention_args, 0, torch.randn(7, 2, 0), "query has head width 0"),
    ("ragged_attention", attention_args, 0, torch.ones(7, 2, 8, dtype=torch.int32), "query must be float32"),
    ("ragged_attention", attention_args, 0, torch.randn(7, 2, 16)[..., ::2], "query has stride 2"),
    ("ragged_attention", attention_args, 1, torch.randn(7, 2, 7), "key has shape"),
    ("ragged_attention", attention_args, 1, torch.randn(7, 16), "key must have rank 3"),
    ("ragged_attention", attention_args, 2, torch.randn(7, 8, 2).transpose(1, 2), "value has stride"),
    ("ragged_attention", attention_args, 2, torch.randn(7, 2, 8, dtype=F64), "value must be float32"),
    ("tape_gather", gather_args, 4, 2**62, "total is"),
    ("ragged_attention", attention_args, 3, torch.zeros(0, dtype=torch.int32), "cu_seqlens_q is empty"),
    ("ragged_attention", attention_args, 3, torch.zeros(6, dtype=torch.int32)[::2], "cu_seqlens_q is not contiguous"),
    ("ragged_attention", attention_args, 3, torch.tensor(0, dtype=torch.int32), "cu_seqlens_q must have rank 1"),
    ("ragged_attention", attention_args, 4, torch.tensor([0, 3, 8], dtype=torch.int32), "cu_seqlens_k ends at row 8"),
    ("ragged_attention", attention_args, 5, -1, "max_q is -1"),
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
