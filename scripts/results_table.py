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
    print("| configuration | accuracy of each seed | tape tokens | MACs an example | steps |")
    print("|---|---|---|---|---|")
    for name, runs in rows.items():
        mean = lambda key: sum(key(r) for r in runs) / len(runs)
        tape = "–"
        if "tape_tokens" in runs[0]["evaluation"]:
            tape = f"{mean(lambda r: r['evaluation']['tape_tokens']):.2f}"
        accuracies = ", ".join(f"{100 * r['evaluation']['accuracy']:.2f} %" for r in runs)
        macs = mean(lambda r: r["evaluation"]["macs"]) / 1e6
        print(f"| `{name}` | {accuracies} | {tape} | {macs:.2f} M | {runs[0]['steps']:,} |")


if __name__ == "__main__":
    main()
