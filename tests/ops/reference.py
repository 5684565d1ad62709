"""The ops as one would explain them: an example at a time, in float64, differentiable by autograd."""
import math

import torch


def select_one(query, keys, max_tokens, threshold, merge, penalty, average_query, scale, available):
    """query [C], keys [N, C], available: set of rows -> (list of row lists, list of weights, ponder)."""
    available, halting, ponder = sorted(available), 0.0, query.new_zeros(())
    steps, weights = [], []
    while len(steps) < max_tokens and available and not halting >= threshold:
        score = keys[available] @ query
        order = torch.sort(score.detach(), descending=True, stable=True).indices[:merge]
        rows = [available[i] for i in order]
        weight = torch.softmax(scale * score[order], 0)
        ponder = ponder + (1 - weight.square().sum() if penalty == "gini" else 1 - weight[0])
        token = weight @ keys[rows]
        query = (query + token) / 2 if average_query else token
        halting += float(weight[0].detach())
        steps.append(rows)
        weights.append(weight)
        available = [i for i in available if i not in rows]
    return steps, weights, ponder


def select(query, keys, bank_length=None, blocked=None, max_tokens=8, threshold=2.0, merge=4, penalty="gini",
           average_query=True, scale=None):
    batch, rows = query.shape[0], keys.shape[-2]
    scale = 1 / math.sqrt(query.shape[1]) if scale is None else scale
    index = torch.full((batch, max_tokens, merge), -1, dtype=torch.int32)
    length = torch.zeros(batch, dtype=torch.int32)
    weight_rows, ponder = [], []
    for b in range(batch):
        bank = keys if keys.dim() == 2 else keys[b]
        stop = rows if bank_length is None else int(bank_length[b])
        mask = None if blocked is None else (blocked if blocked.dim() == 1 else blocked[b])
        available = {i for i in range(stop) if mask is None or not mask[i]}
        steps, weights, p = select_one(query[b], bank, max_tokens, threshold, merge, penalty, average_query, scale,
                                       available)
        length[b] = len(steps)
        for t, chosen in enumerate(steps):
            index[b, t, : len(chosen)] = torch.tensor(chosen, dtype=torch.int32)
        padded = [torch.nn.functional.pad(w, (0, merge - len(w))) for w in weights]
        padded += [query.new_zeros(merge)] * (max_tokens - len(weights))
        weight_rows.append(torch.stack(padded))
        ponder.append(p)
    empty = query.new_zeros((0, max_tokens, merge))
    return index, torch.stack(weight_rows) if batch else empty, length, torch.stack(ponder) if batch else query.new_zeros(0)


def gather(values, index, weight, offsets):
    rows = []
    for b in range(index.shape[0]):
        bank = values if values.dim() == 2 else values[b]
        for t in range(int(offsets[b + 1] - offsets[b])):
            used = index[b, t] >= 0
            rows.append(weight[b, t][used] @ bank[index[b, t][used].long()])
    return torch.stack(rows) if rows else values.new_zeros((0, values.shape[-1]))


def rows_of(cu, tail, b):
    rows = list(range(int(cu[b]), int(cu[b + 1])))
    return rows + (list(range(int(tail[b]), int(tail[b + 1]))) if tail is not None else [])


def attention(query, key, value, cu_q, cu_k, tail_q=None, tail_k=None, scale=None, causal=False):
    scale = 1 / math.sqrt(query.shape[2]) if scale is None else scale
    out, lse = torch.zeros_like(query), query.new_full((query.shape[1], query.shape[0]), -math.inf)
    for b in range(len(cu_q) - 1):
        q, k = rows_of(cu_q, tail_q, b), rows_of(cu_k, tail_k, b)
        if not q or not k:
            continue
        score = scale * torch.einsum("ihc,jhc->hij", query[q], key[k])
        if causal:
            seen = torch.ones(len(q), len(k)).tril(len(k) - len(q)).bool()
            score = score.masked_fill(~seen, -math.inf)
        total = torch.logsumexp(score, -1)
        p = torch.where(torch.isinf(total)[..., None], torch.zeros_like(score), torch.exp(score - total[..., None]))
        out = out.index_copy(0, torch.tensor(q), torch.einsum("hij,jhc->ihc", p.nan_to_num(0), value[k]))
        lse[:, q] = total.detach()
    return out, lse
