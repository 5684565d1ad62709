"""Inputs that the ops' tests share."""
import torch

from ops import reference

F64 = torch.float64


def bank(batch, rows, width, shared=False, seed=0, dtype=F64):
    """A random query and bank [batch, rows, width], or [rows, width] if shared."""
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


def is_steady(query, keys, options):
    """Whether small disturbances change no decision of a selection: finite differences make sense only there."""
    g = torch.Generator().manual_seed(0)
    shake = lambda t: t + 1e-3 * torch.randn(t.shape, generator=g, dtype=t.dtype)
    index = reference.select(query, keys, **options)[0]
    return all(torch.equal(index, reference.select(shake(query), shake(keys), **options)[0]) for _ in range(6))


def sequences(q_lengths, k_lengths, heads=2, width=8, dtype=F64, seed=0):
    g = torch.Generator().manual_seed(seed)
    make = lambda n: torch.randn(n, heads, width, generator=g, dtype=F64).to(dtype)
    cu_q, cu_k = offsets(q_lengths), offsets(k_lengths)
    return make(int(cu_q[-1])), make(int(cu_k[-1])), make(int(cu_k[-1])), cu_q, cu_k, max(q_lengths, default=0), max(k_lengths, default=0)


def with_tails(lengths, tails, **options):
    """The same sequences as one segment each, and with the last `tails` rows of each stored behind all bases."""
    q, k, v, cu, _, longest, _ = sequences([a + b for a, b in zip(lengths, tails)], [a + b for a, b in zip(lengths, tails)], **options)
    base, behind = [], []
    for b, (n, t) in enumerate(zip(lengths, tails)):
        base += range(int(cu[b]), int(cu[b]) + n)
        behind += range(int(cu[b]) + n, int(cu[b]) + n + t)
    order = torch.tensor(base + behind, dtype=torch.long)
    return (q, k, v, cu), order, offsets(lengths), (offsets(tails) + sum(lengths)).int(), longest


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
    calls.append(("ragged_compact", (q, torch.arange(len(q)) % 3 > 0, cu), {}))
    return calls + [("gelu_tanh", (wide,), {}), ("gelu_tanh_backward", (torch.ones_like(wide), wide), {})]


def differentiable(args):
    return tuple(a.detach().requires_grad_() if isinstance(a, torch.Tensor) and a.is_floating_point() else a for a in args)
