"""The ops against what a user of PyTorch would run instead, on one machine, interleaved; a Markdown table.

Every case runs its contenders in turns, so that whatever else the machine does meets all of them; a figure is a
median over the turns, a ratio the median of the turns' ratios. Work counts true lengths only.
"""
import argparse
import dataclasses
import math
import statistics
import sys
import time

import torch
import torch.nn.functional as F

import layers

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclasses.dataclass
class Row:
    case: str
    other: str
    micros: float
    other_micros: float
    ratio: float
    target: float
    rate: str = ""

    def cells(self):
        verdict = "" if math.isnan(self.target) else f"{self.target:.1f}" + ("" if self.ratio >= self.target else " **missed**")
        return [self.case, self.other, f"{self.micros:.0f}", f"{self.other_micros:.0f}", f"{self.ratio:.2f}", verdict, self.rate]


TURN = 0.005  # seconds that a contender's turn takes at least
HEAD = ["case", "against", "ours, µs", "theirs, µs", "theirs ÷ ours", "aim", "ours"]


def measure(case, ours, others, targets, turns, work=0.0, unit="GFLOP/s"):
    """One Row for each of `others` {name: call}; work in operations or bytes of a call of ours."""
    calls = [ours, *others.values()]
    counts = [max(1, round(TURN / max(min(time_of(call, 1), time_of(call, 1)), 1e-6))) for call in calls]
    seconds = [[time_of(call, n) for call, n in zip(calls, counts)] for _ in range(turns)]
    seconds = [list(record) for record in zip(*seconds)]
    micros = [1e6 * statistics.median(record) for record in seconds]
    rate = f"{work / micros[0] / 1e3:.0f} {unit}" if work else ""
    return [Row(case, name, micros[0], micros[i + 1], statistics.median(b / a for a, b in zip(seconds[0], seconds[i + 1])),
                target, rate) for i, (name, target) in enumerate(zip(others, targets))]


def time_of(call, count):
    """Seconds of one call, of `count` in a row: each contender meets its own data in the caches."""
    synchronize()
    begin = time.perf_counter()
    for _ in range(count):
        call()
    synchronize()
    return (time.perf_counter() - begin) / count


def synchronize():
    if torch.cuda.is_available() and measure.device == "cuda":
        torch.cuda.synchronize()


def draw_lengths(batch, longest, density, least=1):
    """Uniform lengths whose mean is density * longest, one of them the longest."""
    low, high = (2 * density - 1, 1.0) if density >= 0.5 else (0.0, 2 * density)
    share = low + (high - low) * torch.rand(batch, generator=torch.Generator().manual_seed(0))
    lengths = (share * longest).round().long().clamp(least, longest)
    lengths[0] = longest
    return lengths


def attention_inputs(lengths, heads, width, dtype, device):
    """(packed query, key, value), offsets, padded query, key, value [B,H,L,C], mask, nested ones."""
    longest, batch = int(lengths.max()), len(lengths)
    cu = F.pad(lengths.cumsum(0), (1, 0)).int().to(device)
    packed = torch.randn(int(cu[-1]), 3, heads, width, device=device).to(dtype).unbind(1)
    padded = [torch.randn(batch, longest, heads, width, device=device).to(dtype).transpose(1, 2) for _ in range(3)]
    mask = (torch.arange(longest)[None] < lengths[:, None])[:, None, None, :].to(device)
    nested = [torch.nested.nested_tensor_from_jagged(t.contiguous(), cu.long()).transpose(1, 2) for t in packed]
    return packed, cu, padded, mask, nested


def attention(case, lengths, heads, width, dtype, args, aims):
    """Forward, and forward with backward, against padded and nested SDPA. aims: (forward, both, nested)."""
    packed, cu, padded, mask, nested = attention_inputs(lengths, heads, width, TYPES[dtype], args.device)
    longest, dense = int(lengths.max()), bool((lengths == lengths[0]).all())
    ours = lambda q, k, v: torch.ops.adatape.ragged_attention(q, k, v, cu, cu, longest, longest)[0]
    sdpa = lambda q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=None if dense else mask)
    name = "padded SDPA, no mask" if dense else "padded SDPA, mask"
    work = 4.0 * float((lengths.double() ** 2).sum()) * heads * width
    rows = measure(f"{case}, forward", lambda: ours(*packed),
                   {name: lambda: sdpa(*padded), "nested SDPA": lambda: sdpa_nested(nested)},
                   (aims[0], aims[2]), args.turns, work)
    return rows + measure(f"{case}, forward and backward", with_backward(ours, packed), {name: with_backward(sdpa, padded)},
                          (aims[1],), args.turns, 3.5 * work)


def sdpa_nested(tensors):
    return F.scaled_dot_product_attention(*tensors)


def with_backward(call, inputs):
    leaves = [t.detach().requires_grad_() for t in inputs]
    upstream = torch.randn_like(call(*leaves))
    return lambda: torch.autograd.grad(call(*leaves), leaves, upstream)


def attention_rows(args):
    for dtype in args.types:
        for width, heads in ((16, 4), (64, 3), (128, 2)):
            for longest in (8, 64, 205, 1024):
                for density in (1.0, 0.6, 0.3):
                    lengths = draw_lengths(max(4, min(256, 8192 // longest)), longest, density)
                    share = float(lengths.double().mean()) / longest
                    forward = (1.3 if width == 16 else 1.5) if density == 1 else 1.5 / share
                    case = f"{dtype}, C {width}, up to {longest}, density {share:.2f}"
                    yield from attention(case, lengths, heads, width, dtype, args, (forward, 1.2 / share, 5.0))


def short_rows(args):
    for dtype in args.types:
        for batch in (256, 1024, 4096):
            lengths = torch.randint(2, 17, (batch,), generator=torch.Generator().manual_seed(0))
            lengths[0] = 16
            yield from attention(f"{dtype}, {batch} sequences of 2 to 16", lengths, 4, 16, dtype, args, (4.0, math.nan, 5.0))


def read_op_by_op(query, keys, max_tokens, merge, threshold):
    """The selection as torch ops write it: all examples step together, rows already read are masked."""
    shared, scale = keys.dim() == 2, 1 / math.sqrt(query.shape[1])
    used = torch.zeros(query.shape[0], keys.shape[-2], dtype=torch.bool, device=query.device)
    halting, alive, ponder, weights = query.new_zeros(len(query)), ~used[:, 0], query.new_zeros(len(query)), []
    for _ in range(max_tokens):
        score = query @ keys.t() if shared else torch.bmm(keys, query[:, :, None])[:, :, 0]
        best, index = score.masked_fill(used, -math.inf).topk(merge, dim=1)
        weight = torch.softmax(scale * best, 1) * alive[:, None]
        rows = keys[index] if shared else torch.gather(keys, 1, index[:, :, None].expand(-1, -1, keys.shape[-1]))
        query = torch.where(alive[:, None], (query + (weight[:, :, None] * rows).sum(1)) / 2, query)
        ponder = ponder + alive * (1 - weight.square().sum(1))
        used, halting = used.scatter(1, index, True), halting + weight[:, 0].detach()
        alive = alive & (halting < threshold)
        weights.append(weight)
    return torch.stack(weights, 1), ponder


def select_rows(args):
    for rows, shared, aims in ((784, False, (10.0, 5.0)), (10000, True, (3.0, math.nan))):
        for batch in (8, 64, 256):
            query, keys = torch.randn(batch, 64) / 4, torch.randn(*([] if shared else [batch]), rows, 64)
            query, keys = query.to(args.device), keys.to(args.device)
            ours = lambda q, k: torch.ops.adatape.tape_select(q, k, None, None, 10, 2.0, 5)[1::2]
            theirs = lambda q, k: read_op_by_op(q, k, 10, 5, 2.0)
            case = f"{'shared' if shared else 'own'} bank of {rows}, batch {batch}"

            def both(read):
                leaves = [query.clone().requires_grad_(), keys.clone().requires_grad_()]
                return lambda: torch.autograd.grad(sum(t.sum() for t in read(*leaves)), leaves)

            yield from measure(f"{case}, forward", lambda: ours(query, keys), {"op by op": lambda: theirs(query, keys)}, aims[:1], args.turns)
            yield from measure(f"{case}, forward and backward", both(ours), {"op by op": both(theirs)}, aims[1:], args.turns)


def layer_rows(args):
    for name, keep, ours, full, saved in layers.cases(args.device):
        row, = measure(f"{name}, keep {keep:.2f}", ours, {"all rows kept": full}, (math.nan,), args.turns)
        row.rate, row.target = f"{saved:.2f}× fewer MACs: efficiency {row.ratio / saved:.2f}", 0.9 * saved
        yield row


SECTIONS = {"attention": attention_rows, "short": short_rows, "select": select_rows, "layers": layer_rows}
TITLES = {"attention": "Ragged attention", "short": "Short sequences, C 16, 4 heads", "select": "Tape selection, C 64, T 10, K 5",
          "layers": "Whole encoders whose rows leave or never come"}


def hardware(device):
    if device == "cuda":
        return torch.cuda.get_device_name()
    models = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return f"{len(models)} cores of {models[0]}" if models else "unknown processor"


def table(title, rows):
    lines = [f"### {title}", "", "| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    return "\n".join(lines + ["| " + " | ".join(row.cells()) + " |" for row in rows]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", required=True, help="libadatape_ops.so")
    parser.add_argument("--section", action="append", choices=SECTIONS, help="only this part; may be repeated")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=9, help="measurements of each contender")
    parser.add_argument("--types", nargs="+", choices=TYPES, default=["fp32", "bf16"])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    args = parser.parse_args()
    torch.ops.load_library(args.library)
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    measure.device = args.device
    print(f"# Benchmarks\n\nPrinted by `scripts/bench kernels{''.join(' ' + a for a in sys.argv[3:])}`: PyTorch {torch.__version__}, "
          f"{hardware(args.device)}, {args.threads} thread(s), medians of {args.turns} interleaved turns; noise of a shared "
          "machine included.\n")
    for section in args.section or SECTIONS:
        print(table(TITLES[section], SECTIONS[section](args)), flush=True)


if __name__ == "__main__":
    main()
