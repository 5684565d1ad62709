"""What the ops compute, said again as short loops over examples (docs/ops.md); gradients come from autograd.

They run in the precision of their inputs: in float64 they are the reference, in a lower precision the naive
computation whose error the ops' own is measured by.
"""

import math

import torch


def best_first(scores):
    """Score descending, NaN first, index ascending among equals."""
    return torch.sort(scores, stable=True, descending=True).indices


def tape_select(query, keys, bank_length=None, blocked=None, max_tokens=6, threshold=2.0, merge=3, penalty="gini",
                average_query=True, scale=None):
    """index, weight, length, ponder; and the smallest margin by which a row was preferred or an example went on."""
    scale = 1 / math.sqrt(query.shape[1]) if scale is None else scale
    columns, margin = [], math.inf
    for b, q in enumerate(query):
        k = keys[b] if keys.dim() == 3 else keys
        out = blocked if blocked is None or blocked.dim() == 1 else blocked[b]
        rows = range(len(k) if bank_length is None else int(bank_length[b]))
        unread = [i for i in rows if out is None or not out[i]]
        index = torch.full((max_tokens, merge), -1, dtype=torch.int32)
        weights, ponder, mass, length = [], query.new_zeros(()), query.new_zeros(()), 0
        while length < max_tokens and unread and (length == 0 or not mass >= threshold):
            scores = k[unread] @ q
            order = best_first(scores)
            leading = scores[order[:merge + 1]].detach()
            margin = min([margin, *(leading[:-1] - leading[1:]).abs().tolist()])
            chosen = [unread[i] for i in order[:merge]]
            a = torch.softmax(scale * scores[order[:merge]], 0)
            z = a @ k[chosen]
            q = (q + z) / 2 if average_query else z
            index[length, :len(chosen)] = torch.tensor(chosen, dtype=torch.int32)
            weights.append(torch.nn.functional.pad(a, (0, merge - len(chosen))))
            ponder = ponder + 1 - ((a * a).sum() if penalty == "gini" else a[0])
            mass, length = mass + a[0].detach(), length + 1
            margin = min(margin, abs(float(mass) - threshold)) if length < max_tokens else margin
            unread = [i for i in unread if i not in chosen]
        weights += [query.new_zeros(merge)] * (max_tokens - length)
        columns.append((index, torch.stack(weights), torch.tensor(length, dtype=torch.int32), ponder))
    return tuple(torch.stack(column) for column in zip(*columns)), margin


def tape_gather(values, index, weight, offsets, total):
    tape = [values.new_zeros(values.shape[-1])] * total
    for b in range(len(index)):
        v = values[b] if values.dim() == 3 else values
        for t in range(int(offsets[b + 1] - offsets[b])):
            used = index[b, t] >= 0
            tape[offsets[b] + t] = weight[b, t, used].to(values.dtype) @ v[index[b, t, used].long()]
    return torch.stack(tape) if tape else values.new_zeros(0, values.shape[-1])


def rows_of(cu_seqlens, tail, b):
    """Packed rows of sequence b: its base rows, then its tail."""
    rows = list(range(cu_seqlens[b], cu_seqlens[b + 1]))
    return rows + (list(range(tail[b], tail[b + 1])) if tail is not None else [])


def ragged_attention(query, key, value, cu_seqlens_q, cu_seqlens_k, tail_q=None, tail_k=None, scale=None,
                     causal=False):
    scale = 1 / math.sqrt(query.shape[2]) if scale is None else scale
    out = [torch.zeros_like(row) for row in query]
    lse = [query.new_full((query.shape[1],), -math.inf)] * len(query)
    for b in range(len(cu_seqlens_q) - 1):
        queries, keys = rows_of(cu_seqlens_q, tail_q, b), rows_of(cu_seqlens_k, tail_k, b)
        for i, row in enumerate(queries):
            seen = keys[:max(0, i + 1 + len(keys) - len(queries))] if causal else keys
            if not seen:
                continue
            scores = scale * torch.einsum("hc,khc->hk", query[row], key[seen])
            lse[row] = torch.logsumexp(scores.detach(), 1)
            out[row] = torch.einsum("hk,khc->hc", torch.softmax(scores, 1), value[seen])
    if not out:
        return query.new_zeros(query.shape), query.new_zeros(query.shape[1::-1])
    return torch.stack(out), torch.stack(lse, 1)
