"""Our training step against the same model in eager PyTorch (parity_eager.py), interleaved.

Both contenders live at once and take turns: a chunk of steps each, so that whatever else the machine does
meets both. Reported are medians over the chunks, and the time of each part of our step. Same maths on both
sides: model, loss, penalty, clip, AdamW, batch size; each draws its own strings.
"""
import argparse
import json
import math
import pathlib
import statistics
import subprocess
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

import parity_eager

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Ours:
    def __init__(self, server, args):
        command = [server, ROOT / "configs/parity/adatape.yaml", f"threads={args.threads}", f"model.pool={args.pool}",
                   f"data.length={args.length}", f"loader.batch_size={args.batch}", "loop.steps=1000000"]
        self.process = subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, verb, steps):
        self.process.stdin.write(f"{verb} {steps}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def seconds(self, steps):
        return self.ask("run", steps)["seconds"]


class Eager:
    def __init__(self, args):
        torch.set_num_threads(args.threads)
        torch.manual_seed(0)
        self.args = argparse.Namespace(dim=64, heads=4, layers=2, mlp=256, insert_at=1, max_tokens=8, threshold=2.0,
                                       insert_mlp=False, pool=args.pool, length=args.length)
        self.batch = args.batch
        self.model = parity_eager.AdaTape(self.args)
        parity_eager.initialise(self.model)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=3e-3, weight_decay=0.01, fused=True)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: min((step + 1) / 200, 0.5 * (1 + math.cos(math.pi * step / 1e6))))
        self.generator = torch.Generator().manual_seed(1)

    def seconds(self, steps):
        begin = time.perf_counter()
        for _ in range(steps):
            x, y = parity_eager.parity_batch(self.batch, self.args.length, self.generator, "cpu")
            logits, penalty = self.model(x)
            loss = F.binary_cross_entropy_with_logits(logits, y, reduction="none").sum(dim=1).mean() + 0.01 * penalty
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.schedule.step()
        return time.perf_counter() - begin


def phase_table(phases):
    """Rows (name, ms); what a scope holds beyond its named parts is 'other'."""
    get = lambda name: phases.get(name, 0.0)
    op = lambda name: get("adatape::" + name)
    forward_parts = [("select", op("tape_select")), ("gather", op("tape_gather")),
                     ("attention block", get("attention")), ("  of it, the attention op", op("ragged_attention")),
                     ("feed-forward", get("feed_forward"))]
    named = sum(ms for name, ms in forward_parts if not name.startswith(" "))
    backward_parts = [("  of it, select", op("tape_select_backward")), ("  of it, gather", op("tape_gather_backward")),
                      ("  of it, the attention op", op("ragged_attention_backward"))]
    return ([("data", get("fetch"))] + forward_parts + [("other forward", get("forward") - named)] +
            [("backward", get("backward"))] + backward_parts + [("optimiser", get("update"))])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--server", default=ROOT / "build/bench/step_server")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pool", choices=["mean", "cls"], default="mean")
    parser.add_argument("--length", type=int, default=16)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--chunks", type=int, default=9)
    parser.add_argument("--steps", type=int, default=50, help="steps in a chunk")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    contenders = {"adatape": Ours(args.server, args), "eager PyTorch": Eager(args)}
    for contender in contenders.values():
        contender.seconds(args.steps)
    rate = {name: [] for name in contenders}
    for _ in range(args.chunks):
        for name, contender in contenders.items():
            rate[name].append(args.steps / contender.seconds(args.steps))
    median = {name: statistics.median(rates) for name, rates in rate.items()}
    ratio = statistics.median(a / b for a, b in zip(rate["adatape"], rate["eager PyTorch"]))
    phases = contenders["adatape"].ask("phases", args.steps)["phases"]
    if args.json:
        print(json.dumps({"threads": args.threads, "pool": args.pool, "median": median, "ratio": ratio, "rates": rate,
                          "phases": phases}))
        return
    print(f"parity, length {args.length}, batch {args.batch}, pool {args.pool}, {args.threads} threads, "
          f"{args.chunks} x {args.steps} steps, interleaved")
    for name, rates in rate.items():
        print(f"{name:<15}{median[name]:8.1f} steps/s   (from {min(rates):.1f} to {max(rates):.1f})")
    print(f"{'ratio':<15}{ratio:8.2f}           (median of the chunks' ratios)\n")
    total = sum(phases.get(p, 0) for p in ("fetch", "forward", "backward", "update"))
    print("part of our step            ms   share   (timed with callbacks on, which cost a little)")
    for name, ms in phase_table(phases):
        print(f"{name:<24}{ms:6.2f}  {100 * ms / total:5.1f}%")


if __name__ == "__main__":
    main()
