"""What nvcc makes of the CUDA kernels, without a GPU: registers, spills, shared memory, instructions, occupancy.

Compiles each kernels/*.cu for every architecture, reads the code with cuobjdump and nvdisasm, and checks it against
kernels/budget.yaml. Exit codes: 0 within the budget, 1 not, 69 a tool is missing.

    scripts/kernel_table.py                      checks, and prints what exceeds the budget
    scripts/kernel_table.py --table              prints the table, in Markdown
    scripts/kernel_table.py tape_select ...      only these sources
"""
import argparse
import concurrent.futures
import dataclasses
import fnmatch
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
FLAGS = ["-std=c++20", "-O3", "-cubin", "-lineinfo", "-Werror", "all-warnings", f"-I{ROOT}"]
# Kinds of instructions, by the whole mnemonic: a prefix of it would count LDSM as LDS.
INSTRUCTIONS = {
    "HMMA": r"HMMA(\..*)?", "LDSM": r"LDSM(\..*)?", "LDGSTS": r"LDGSTS(\..*)?", "LDG.128": r"LDG\..*\b128\b.*",
    "LDS.128": r"LDS\..*\b128\b.*", "STG.128": r"STG\..*\b128\b.*", "LDL": r"LDL(\..*)?", "STL": r"STL(\..*)?",
    "BAR": r"BAR\..*", "REDUX": r"C?REDUX(\..*)?", "CALL": r"CALL\..*",
}


class MissingTool(Exception):
    pass


def tool(name):
    """A program of the CUDA toolkit: on the path, in the toolkit, or from the Python package that holds it alone."""
    folders = [os.environ.get("CUDA_HOME", "/usr/local/cuda") + "/bin"]
    folders += [f"{path}/nvidia/cu13/bin" for path in sys.path]
    found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(folders))
    if not found:
        raise MissingTool(f"{name} is missing: install the CUDA toolkit, or `pip install -r requirements.txt`")
    return found


@dataclasses.dataclass
class Kernel:
    """One kernel as compiled for one architecture."""
    name: str
    arch: str
    registers: int
    stack: int
    shared: int
    local: int
    instructions: Counter
    entry: dict = None  # of the budget
    blocks: int = 0  # that fit a multiprocessor


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=True, **options).stdout


def demangle(names):
    """Mangled names -> "select_tape<float, 1>"."""
    plain = run("c++filt", input="\n".join(names)).splitlines()
    short = [re.sub(r"\(bool\)([01])", lambda m: ("false", "true")[int(m[1])], name) for name in plain]
    short = [re.sub(r"(adatape::kernels::(\(anonymous namespace\)::)?|^void |\(adatape.*$)", "", name) for name in short]
    return dict(zip(names, (re.sub(r"\(.*$", "", name) for name in short)))


def sources_of(path):
    """The file and all that it includes of this folder's."""
    seen, todo = set(), [path]
    while todo:
        file = todo.pop()
        if file in seen or not file.exists():
            continue
        seen.add(file)
        todo += [ROOT / name for name in re.findall(r'^#include "(kernels/[^"]+)"', file.read_text(), re.M)]
    return sorted(seen)


def compile_kernels(source, arch, cache):
    """The path of a cubin; compiles only what has changed."""
    key = hashlib.sha256(run(tool("nvcc"), "--version").encode() + repr((FLAGS[:-1], arch)).encode())
    for file in sources_of(source):
        key.update(file.name.encode() + file.read_bytes())
    cubin = cache / f"{source.stem}.{arch}.{key.hexdigest()[:16]}.cubin"
    if not cubin.exists():
        cache.mkdir(parents=True, exist_ok=True)
        part = cubin.with_suffix(f".{os.getpid()}.part")
        done = subprocess.run([tool("nvcc"), *FLAGS, f"-arch={arch}", str(source), "-o", str(part)], capture_output=True,
                              text=True)
        if done.returncode:
            sys.exit(f"{source.name} does not compile for {arch}:\n{done.stderr}")
        part.rename(cubin)
    return cubin


def read_cubin(cubin, arch):
    """All kernels of a cubin."""
    usage = run(tool("cuobjdump"), "-res-usage", str(cubin))
    found = re.findall(r"Function (\S+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)", usage)
    counts, current = {name: Counter() for name, *_ in found}, None
    for line in run(tool("nvdisasm"), "-c", str(cubin)).splitlines():
        if section := re.match(r"\s*\.section\s+\.text\.(\S+?),", line):
            current = counts.get(section[1])
        elif current is not None and (code := re.match(r"\s*/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)", line)):
            current.update(kind for kind, pattern in INSTRUCTIONS.items() if re.fullmatch(pattern, code[1]))
    names = demangle(list(counts)) if counts else {}
    return [Kernel(names[name], arch, *map(int, numbers), counts[name]) for name, *numbers in found]


def add_occupancy(kernels, cache):
    """Sets `blocks` of kernels whose budget says how they are launched."""
    program = cache / "occupancy"
    source = ROOT / "scripts/occupancy.cpp"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        include = Path(tool("nvcc")).resolve().parent.parent / "include"
        run("g++", "-O1", "-isystem", str(include), str(source), "-o", str(program))
    asked = [k for k in kernels if k.entry]
    lines = [f"{k.arch[3:-1]} {k.registers} {k.shared} {k.entry.get('dynamic_shared', 0)} {k.entry['threads']}" for k in asked]
    for kernel, answer in zip(asked, run(str(program), input="\n".join(lines) + "\n").split()):
        kernel.blocks = int(answer)


def limit(entry, key, arch):
    """A budget's number: one for all architectures, or one for each."""
    value = entry.get(key)
    return value.get(arch) if isinstance(value, dict) else value


def violations(kernel):
    """Sentences on what exceeds the budget."""
    if not kernel.entry:
        yield "has no entry in kernels/budget.yaml"
        return
    entry, seen = kernel.entry, kernel.instructions
    for what, value in (("bytes of stack", kernel.stack), ("bytes of local memory", kernel.local),
                        ("loads from local memory", seen["LDL"]), ("stores to local memory", seen["STL"])):
        if value:
            yield f"{value} {what}; allowed are none"
    for what, value in (("registers", kernel.registers), ("shared", kernel.shared)):
        most = limit(entry, what, kernel.arch)
        if value > (most or 0):
            yield f"{what}: {value}, budget {most or 0}"
    least = limit(entry, "blocks", kernel.arch)
    if kernel.blocks < least:
        yield f"blocks on a multiprocessor: {kernel.blocks}, budget at least {least}"
    for kind, count in (entry.get("exactly") or {}).items():
        if seen[kind] != count:
            yield f"{kind}: {seen[kind]} instructions, must be {count}"
    for kind, count in (entry.get("at_least") or {}).items():
        if seen[kind] < count:
            yield f"{kind}: {seen[kind]} instructions, must be at least {count}"


def table(kernels):
    kinds = [kind for kind in INSTRUCTIONS if any(k.instructions[kind] for k in kernels)]
    yield "| kernel | arch | registers | shared | dynamic | blocks/SM | " + " | ".join(kinds) + " |"
    yield "|---" * (6 + len(kinds)) + "|"
    for k in kernels:
        dynamic = (k.entry or {}).get("dynamic_shared", 0)
        numbers = (k.registers, k.shared, dynamic, k.blocks, *(k.instructions[kind] for kind in kinds))
        yield f"| `{k.name}` | {k.arch} | " + " | ".join(map(str, numbers)) + " |"


def measure(sources, cache, jobs):
    """All kernels of the sources, for all architectures, with their entries of the budget."""
    budget = yaml.safe_load((ROOT / "kernels/budget.yaml").read_text())
    tool("cuobjdump"), tool("nvdisasm")
    work = [(source, arch) for source in sources for arch in ARCHITECTURES]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        cubins = list(pool.map(lambda job: (compile_kernels(*job, cache), job[1]), work))
    kernels = [kernel for cubin, arch in cubins for kernel in read_cubin(cubin, arch)]
    for kernel in kernels:
        kernel.entry = next((e for pattern, e in budget.items() if fnmatch.fnmatchcase(kernel.name, pattern)), None)
    add_occupancy(kernels, cache)
    return sorted(kernels, key=lambda k: (k.name, ARCHITECTURES.index(k.arch)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", help="names of kernels/*.cu without the suffix; all unless given")
    parser.add_argument("--table", action="store_true", help="print the table, in Markdown")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--cache", type=Path, default=Path(os.environ.get("ADATAPE_BUILD") or ROOT / "build") / "cubins",
                        help="where compiled code is kept")
    options = parser.parse_args()
    sources = [ROOT / f"kernels/{name}.cu" for name in options.sources] or sorted((ROOT / "kernels").glob("*.cu"))
    try:
        kernels = measure(sources, options.cache, options.jobs)
    except MissingTool as error:
        print(f"kernel_table: {error}", file=sys.stderr)
        return 69
    if options.table:
        print("\n".join(table(kernels)))
    bad = [f"{k.name} ({k.arch}): {what}" for k in kernels for what in violations(k)]
    print("\n".join(bad), file=sys.stderr, end="\n" if bad else "")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
