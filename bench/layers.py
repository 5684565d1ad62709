"""Encoders whose work depends on the example, from torch's layers and our ops: what is saved, in MACs and in time.

A-ViT: rows leave the packed batch between layers. AdaTape: rows of the tape join it, as many as an example reads.
Both run beside themselves with all rows kept; a mask would cost exactly that.
"""
import torch
import torch.nn.functional as F

KEEPS = (0.75, 0.5, 0.25)


class Encoder:
    """Pre-norm blocks of width dim over packed rows, forward only."""

    def __init__(self, layers, dim, heads, device):
        draw = lambda *shape: torch.randn(*shape, device=device) * 0.02
        self.dim, self.heads = dim, heads
        self.blocks = [dict(qkv=draw(3 * dim, dim), out=draw(dim, dim), up=draw(4 * dim, dim), down=draw(dim, 4 * dim))
                       for _ in range(layers)]

    def block(self, weights, x, cu, longest):
        q, k, v = F.linear(F.layer_norm(x, [self.dim]), weights["qkv"]).view(-1, 3, self.heads, self.dim // self.heads).unbind(1)
        attended = torch.ops.adatape.ragged_attention(q, k, v, cu, cu, longest, longest)[0]
        x = x + F.linear(attended.flatten(1), weights["out"])
        hidden = torch.ops.adatape.gelu_tanh(F.linear(F.layer_norm(x, [self.dim]), weights["up"]))
        return x + F.linear(hidden, weights["down"])

    def macs(self, lengths):
        """Multiply-adds of one block over sequences of these lengths."""
        return 12 * self.dim**2 * int(lengths.sum()) + 2 * self.dim * int((lengths.long() ** 2).sum())


def offsets_of(lengths):
    return F.pad(lengths.cumsum(0), (1, 0)).int()


def leaving(encoder, x, cu, longest, keeps):
    """keeps: one flag for each row that is there, layer by layer. Returns rows and the MACs that ran."""
    macs = 0
    for weights, keep in zip(encoder.blocks, keeps):
        macs += encoder.macs(cu.diff())
        x = encoder.block(weights, x, cu, longest)
        index, cu = torch.ops.adatape.ragged_compact(x, keep, cu)
        x = x.index_select(0, index[: int(cu[-1])])
    return x, macs


def leaving_flags(encoder, cu, mean_keep, generator):
    """Flags under which the layers' mean share of rows is mean_keep: a fixed share leaves after each layer."""
    layers = len(encoder.blocks)
    low, high = 0.0, 1.0
    for _ in range(50):  # the share s with (1 + s + ... + s^(n-1)) / n = mean_keep
        share = (low + high) / 2
        mean = sum(share**i for i in range(layers)) / layers
        low, high = (share, high) if mean < mean_keep else (low, share)
    flags, rows = [], int(cu[-1])
    for _ in range(layers):
        flags.append(torch.rand(rows, generator=generator) < share)
        rows = int(flags[-1].sum())
    return flags


def cases(device):
    """(name, mean share of rows, adaptive call, full call, MACs full / adaptive)."""
    with torch.no_grad():
        yield from leaving_cases(device)
        yield from tape_cases(device)


def inference(call):
    def run():
        with torch.no_grad():
            return call()
    return run


def leaving_cases(device):
    generator = torch.Generator().manual_seed(0)
    for name, dim, heads in (("A-ViT Ti/16", 192, 3), ("A-ViT S/16", 384, 6)):
        encoder, batch, longest = Encoder(12, dim, heads, device), 16, 197
        cu = offsets_of(torch.full((batch,), longest)).to(device)
        x = torch.randn(batch * longest, dim, device=device)
        everything = [torch.ones(len(x), dtype=torch.bool, device=device)] * 12
        full_macs = leaving(encoder, x, cu, longest, everything)[1]
        for mean_keep in KEEPS:
            flags = [f.to(device) for f in leaving_flags(encoder, cu, mean_keep, generator)]
            macs = leaving(encoder, x, cu, longest, flags)[1]
            yield (name, mean_keep, inference(lambda: leaving(encoder, x, cu, longest, flags)),
                   inference(lambda: leaving(encoder, x, cu, longest, everything)), full_macs / macs)


def tape_cases(device):
    generator = torch.Generator().manual_seed(1)
    encoder, batch, base, most = Encoder(12, 192, 3, device), 32, 49, 100
    run = lambda x, cu: [x := encoder.block(weights, x, cu, base + most) for weights in encoder.blocks]
    for mean_keep in KEEPS:
        share = (2 * mean_keep - 1, 1.0) if mean_keep >= 0.5 else (0.0, 2 * mean_keep)
        tape = (most * (share[0] + (share[1] - share[0]) * torch.rand(batch, generator=generator))).round().long()
        sides = []
        for lengths in (base + tape, torch.full((batch,), base + most)):
            x = torch.randn(int(lengths.sum()), 192, device=device)
            sides.append((x, offsets_of(lengths).to(device), encoder.macs(lengths)))
        (x, cu, macs), (full_x, full_cu, full_macs) = sides
        yield ("AdaTape Ti/32, tape of up to 100", mean_keep, inference(lambda: run(x, cu)),
               inference(lambda: run(full_x, full_cu)), full_macs / macs)
