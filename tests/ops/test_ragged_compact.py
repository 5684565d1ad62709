"""ragged_compact against a loop, and the selection of rows that it is for."""
import pytest
import torch

from ops.inputs import offsets


def draw(lengths, unused=0, seed=0):
    cu = offsets(lengths)
    keep = torch.rand(int(cu[-1]) + unused, generator=torch.Generator().manual_seed(seed)) < 0.6
    return torch.randn(len(keep), 3, dtype=torch.float64), keep, cu


def by_loop(keep, cu):
    kept, counts = [], [0]
    for b in range(len(cu) - 1):
        kept += [r for r in range(int(cu[b]), int(cu[b + 1])) if keep[r]]
        counts.append(len(kept))
    return kept, counts


@pytest.mark.parametrize("lengths", [[], [0], [1], [0, 0, 0], [3, 0, 5, 1], [257, 1, 64], [5] * 40])
def test_matches_a_loop(ops, lengths):
    for unused in (0, 2):
        rows, keep, cu = draw(lengths, unused)
        for flags in (keep, torch.ones_like(keep), torch.zeros_like(keep)):
            index, new_cu = ops.ragged_compact(rows, flags, cu)
            kept, counts = by_loop(flags, cu)
            assert index.tolist() == kept + [-1] * (len(flags) - len(kept)) and new_cu.tolist() == counts
            assert index.dtype == new_cu.dtype == torch.int32


def test_rows_before_the_first_sequence_leave(ops):
    index, new_cu = ops.ragged_compact(torch.zeros(6), torch.ones(6, dtype=torch.bool), torch.tensor([2, 3, 5], dtype=torch.int32))
    assert index.tolist() == [2, 3, 4, -1, -1, -1] and new_cu.tolist() == [0, 1, 3]


def test_selected_rows_pass_their_gradient_back(ops):
    rows, keep, cu = draw([4, 0, 6])
    index, new_cu = ops.ragged_compact(rows, keep, cu)
    index = index[: new_cu[-1]]
    assert torch.autograd.gradcheck(lambda r: r.index_select(0, index), rows.requires_grad_())


@pytest.mark.parametrize("change, phrase", [
    (lambda r, k, c: (r, k.int(), c), "keep must be bool, got int32"),
    (lambda r, k, c: (r, k[:-1], c), "keep has shape"),
    (lambda r, k, c: (r, k, c.long()), "cu_seqlens must be int32, got int64"),
    (lambda r, k, c: (r, k, c[:0]), "cu_seqlens is empty"),
    (lambda r, k, c: (r, k, c + 1), "cu_seqlens ends at row"),
    (lambda r, k, c: (r, k, c.flip(0)), "cu_seqlens"),
    (lambda r, k, c: (torch.tensor(1.0), k, c), "rows must have rank 1 or more"),
    (lambda r, k, c: (r.to("meta"), k, c), "keep is on cpu but rows is on meta"),
])
def test_bad_arguments_are_named(ops, change, phrase):
    with pytest.raises(RuntimeError, match=r"^\[ragged_compact\] " + phrase):
        ops.ragged_compact(*change(*draw([3, 2, 4])))
