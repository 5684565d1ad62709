"""How well the emulated tests know the kernels: broken copies of them, each built and run; the share that is caught.

    scripts/mutate.py                        all lists in tests/kernels/mutants
    scripts/mutate.py tape_gather ...        only these
    scripts/mutate.py --match barrier        only mutants whose name contains this
    scripts/mutate.py --generated 40         besides, that many more of each list's files, made by rule

Needs a build folder in which kernels_tests is built (--build). A list says which sources to rebuild, which tests to
run, and what to change: `old` occurs once in `file` and becomes `new`. A mutant is caught if a test fails, crashes or
runs out of time. Exit codes: 0 each list's score is 90% or more, 1 not, 2 a list does not fit the sources.
"""
import argparse
import concurrent.futures
import dataclasses
import json
import os
import random
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
LISTS = ROOT / "tests/kernels/mutants"
ENOUGH = 0.9
TIME_LIMIT = 120  # seconds for a mutant's tests
# Rules for generated mutants: what a tired programmer might write instead.
RULES = [
    (r"^ *__sync(threads|warp)\(\);$", ""), (r" < ", " <= "), (r" <= ", " < "), (r" > ", " >= "), (r" >= ", " > "),
    (r" == ", " != "), (r" && ", " || "), (r" \+ ", " - "), (r" \* ", " + "), (r" / ", " * "), (r" % ", " / "),
    (r"\bfalse\b", "true"), (r"\btrue\b", "false"), (r"\b0\b", "1"), (r"\b1\b", "2"), (r" \+= ", " = "), (r"!(?=[a-z(])", ""),
]


@dataclasses.dataclass
class Mutant:
    name: str
    file: str
    old: str
    new: str
    survives: str = ""  # why no test can catch it, if known
    start: int = -1  # where `old` is

    def text(self):
        text = (ROOT / self.file).read_text()
        return text[:self.start] + self.new + text[self.start + len(self.old):]


@dataclasses.dataclass
class MutantList:
    name: str
    sources: list  # translation units that contain the kernels, tests of inline functions among them
    tests: str  # filter of GoogleTest
    mutants: list


class Misfit(Exception):
    pass


def read_list(path):
    """A list with each mutant's place found."""
    data = yaml.safe_load(path.read_text())
    mutants = [Mutant(**entry) for entry in data["mutants"]]
    for m in mutants:
        places = [match.start() for match in re.finditer(re.escape(m.old), (ROOT / m.file).read_text())]
        if len(places) != 1:
            raise Misfit(f"{path.name}: '{m.name}': `old` occurs {len(places)} times in {m.file}, must be once")
        m.start = places[0]
    return MutantList(path.stem, data["sources"], data["tests"], mutants)


def generate(listed, count, seed):
    """Random mutants by rule, of the files that the list's own mutants change."""
    found = []
    for file in sorted({m.file for m in listed.mutants}):
        text = (ROOT / file).read_text()
        body = text.index("namespace adatape")
        for pattern, new in RULES:
            for match in re.finditer(pattern, text, re.M):
                line = text[text.rfind("\n", 0, match.start()) + 1:text.find("\n", match.start())]
                if match.start() < body or re.match(r"\s*(//|#|namespace|template|constexpr|static_assert)", line):
                    continue
                if "//" in line and line.index("//") < match.start() - text.rfind("\n", 0, match.start()):
                    continue
                number = text.count("\n", 0, match.start()) + 1
                name = f"{file}:{number}: `{match[0].strip()}` -> `{new.strip()}` in `{line.strip()}`"
                found.append(Mutant(name, file, match[0], new, start=match.start()))
    return random.Random(seed).sample(found, min(count, len(found)))


class Builder:
    """Builds and runs mutants with the commands of an existing build."""

    def __init__(self, build):
        self.build = build
        commands = json.loads((build / "compile_commands.json").read_text())
        self.compile = {os.path.relpath(c["file"], ROOT): c for c in commands if "-fsanitize=thread" in c["command"]}
        ninja = next(line.split("=", 1)[1] for line in (build / "CMakeCache.txt").read_text().splitlines()
                     if line.startswith("CMAKE_MAKE_PROGRAM"))
        steps = subprocess.run([ninja, "-C", str(build), "-t", "commands", "kernels_tests"], capture_output=True,
                               text=True, check=True).stdout.splitlines()
        self.link = [word for word in shlex.split(steps[-1]) if word not in (":", "&&")]

    def run(self, mutant, sources, tests):
        """-> ("caught", how), ("survived", "") or ("broken", why)."""
        with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
            changed = Path(folder) / mutant.file
            changed.parent.mkdir(parents=True)
            changed.write_text(mutant.text())
            program, link, added = f"{folder}/tests", list(self.link), []
            for source in sources:
                words = shlex.split(self.compile[source]["command"])
                at = words.index("-o") + 1
                built, words[at] = words[at], f"{folder}/{Path(source).stem}.o"
                if built in link:  # the tests' own objects; those of the kernels come out of a library
                    link[link.index(built)] = words[at]
                else:
                    added.append(words[at])
                if source == mutant.file:
                    words[-1] = str(changed)
                words.insert(next(i for i, word in enumerate(words) if word.startswith("-I")), f"-I{folder}")
                words = [word for word in words if not word.startswith("-g")]
                done = subprocess.run(words, cwd=self.compile[source]["directory"], capture_output=True, text=True)
                if done.returncode:
                    return "broken", done.stderr
            link[link.index("-o") + 1] = program
            first = next(i for i, word in enumerate(link) if word.endswith(".o"))
            done = subprocess.run(link[:first] + added + link[first:], cwd=self.build, capture_output=True, text=True)
            if done.returncode:
                return "broken", done.stderr
            return self.test(program, tests)

    def test(self, program, tests):
        command = [program, f"--gtest_filter={tests}", "--gtest_fail_fast", "--gtest_brief=1"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT)
        except subprocess.TimeoutExpired:
            return "caught", "ran out of time"
        if done.returncode < 0:
            return "caught", f"signal {-done.returncode}"
        if done.returncode == 0:
            return "survived", ""
        found = re.search(r"\[(out of range|write to an input|misaligned|uninitialised|race|unfinished cp.async|divergence)\]",
                          done.stdout)
        return "caught", found[1] if found else "values"


def score(listed, builder, jobs):
    """Runs a list, prints what became of it; returns whether enough was caught."""
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        results = list(pool.map(lambda m: builder.run(m, listed.sources, listed.tests), listed.mutants))
    ways, caught, whole = {}, 0, 0
    for mutant, (result, detail) in zip(listed.mutants, results):
        if result == "broken":
            print(f"  does not build: {mutant.name}\n{detail}" if not mutant.name.startswith("kernels/") else "", end="")
            continue
        whole += 1
        caught += result == "caught"
        if result == "survived":
            print(f"  survived: {mutant.name}" + (f" ({mutant.survives})" if mutant.survives else ""))
        elif mutant.survives:
            print(f"  caught, although the list says it survives: {mutant.name}")
        else:
            ways[detail] = ways.get(detail, 0) + 1
    how = ", ".join(f"{count} by {way}" for way, count in sorted(ways.items(), key=lambda item: -item[1]))
    print(f"{listed.name}: {caught} of {whole} caught, {100 * caught / max(whole, 1):.0f}% ({how})", flush=True)
    return whole > 0 and caught >= ENOUGH * whole


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lists", nargs="*")
    parser.add_argument("--match", default="")
    parser.add_argument("--generated", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--build", type=Path, default=Path(os.environ.get("ADATAPE_BUILD") or ROOT / "build"))
    options = parser.parse_args()
    try:
        lists = [read_list(path) for path in sorted(LISTS.glob("*.yaml")) if not options.lists or path.stem in options.lists]
    except Misfit as error:
        print(f"mutate: {error}", file=sys.stderr)
        return 2
    builder, enough = Builder(options.build.resolve()), []
    for listed in lists:
        listed.mutants = [m for m in listed.mutants if options.match in m.name]
        if options.generated:
            listed.mutants += generate(listed, options.generated, options.seed)
        if listed.mutants:
            enough.append(score(listed, builder, options.jobs))
    return 0 if enough and all(enough) else 1


if __name__ == "__main__":
    sys.exit(main())
