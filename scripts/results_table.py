"""JSON summaries on standard input, one after another -> a Markdown table, a row for each configuration."""
import json
import re
import sys


def summaries(text):
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        summary, at = decoder.raw_decode(text, at)
        yield summary
        at += len(text[at:]) - len(text[at:].lstrip())


def main():
    rows = {}
    for summary in summaries(sys.stdin.read().strip()):
        name = re.sub(r"^.*/results-(.*)-[a-z_.]+-[^-]*$", r"\1", summary["run"])
        rows.setdefault(name, []).append(summary)
    print("| configuration | accuracy of each seed | tape tokens | MACs an example | steps | seconds | threads |")
    print("|---|---|---|---|---|---|---|")
    for name, runs in rows.items():
        mean = lambda key: sum(key(r) for r in runs) / len(runs)
        tape = "–" if "tape_tokens" not in runs[0]["evaluation"] else f"{mean(lambda r: r['evaluation']['tape_tokens']):.2f}"
        print(f"| `{name}` | {', '.join(format(100 * r['evaluation']['accuracy'], '.2f') + ' %' for r in runs)} | {tape} "
              f"| {mean(lambda r: r['evaluation']['macs']) / 1e6:.2f} M | {runs[0]['steps']:,} "
              f"| {mean(lambda r: r['train_seconds']):.0f} | {runs[0]['threads']} |")


if __name__ == "__main__":
    main()
