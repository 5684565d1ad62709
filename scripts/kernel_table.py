"""What nvcc makes of the CUDA kernels, without a GPU: registers, spills, shared memory, instructions, occupancy.

Compiles each kernels/*.cu for every architecture, reads the code with cuobjdump and nvdisasm, and checks it against
kernels/budget.yaml. Exit codes: 0 within the budget, 1 not, 69 a tool is missing.

    scripts/kernel_table.py                      checks the budget, and that the table in docs/kernels.md is current
    scripts/kernel_table.py --write              checks the budget, and writes the table
    scripts/kernel_table.py tape_select ...      checks only these sources, and prints their table
"""
import argparse
import concurrent.futures
import dataclasses
import fnmatch
import hashlib
import itertools
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
# Kinds of instructions, by the whole mnemonic: a prefix of it would count LDSM as LDS. div64: calls of the
# compiler's subroutine for 64-bit integer division.
INSTRUCTIONS = {
    "HMMA": r"HMMA\b.*", "LDSM": r"LDSM\b.*", "LDGSTS": r"LDGSTS\b.*", "LDG.128": r"LDG\.\S*\b128\b.*",
    "LDS.128": r"LDS\.\S*\b128\b.*", "STG.128": r"STG\.\S*\b128\b.*", "LDL": r"LDL\b.*", "STL": r"STL\b.*",
    "BAR": r"BAR\..*", "REDUX": r"C?REDUX\b.*", "div64": r"CALL\..*\$.*(div|rem)_[su]64.*",
}


DOCS = ROOT / "docs/kernels.md"
MARKS = ("<!-- scripts/kernel_table.py --write: begin -->", "<!-- end -->")
RESERVED = 1024  # bytes of a block's shared memory that the driver takes; from sm_90 on cuobjdump counts them


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
        elif current is not None and (code := re.match(r"\s*/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?(\S.*);", line)):
            current.update(kind for kind, pattern in INSTRUCTIONS.items() if re.fullmatch(pattern, code[1]))
    names = demangle(list(counts)) if counts else {}
    kernels = [Kernel(names[name], arch, *map(int, numbers), counts[name]) for name, *numbers in found]
    for kernel in kernels:
        if arch != "sm_80" and kernel.shared:
            kernel.shared -= RESERVED
    return kernels


def limit(entry, key, arch):
    """A budget's number: one for all architectures, or one for each."""
    value = entry.get(key)
    return value.get(arch) if isinstance(value, dict) else value


def dynamic_shared(kernel):
    return limit(kernel.entry or {}, "dynamic_shared", kernel.arch) or 0


def add_occupancy(kernels, cache):
    """Sets `blocks` of kernels whose budget says how they are launched."""
    program = cache / "occupancy"
    source = ROOT / "scripts/occupancy.cpp"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        include = Path(tool("nvcc")).resolve().parent.parent / "include"
        run("g++", "-O1", "-isystem", str(include), str(source), "-o", str(program))
    asked = [k for k in kernels if k.entry]
    lines = [f"{k.arch[3:-1]} {k.registers} {k.shared} {dynamic_shared(k)} {k.entry['threads']}" for k in asked]
    for kernel, answer in zip(asked, run(str(program), input="\n".join(lines) + "\n").split()):
        kernel.blocks = int(answer)


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


def joined(values):
    """One number for all architectures, or one for each."""
    return str(values[0]) if len(set(values)) == 1 else " / ".join(map(str, values))


def table(kernels):
    """Lines of Markdown, one a kernel; the first names the compiler."""
    release = re.search(r"release ([\d.]+)", run(tool("nvcc"), "--version"))[1]
    kinds = [kind for kind in INSTRUCTIONS if any(k.instructions[kind] for k in kernels)]
    yield f"nvcc {release}; where {' / '.join(ARCHITECTURES)} differ, all three numbers."
    yield ""
    yield "| kernel | registers | static shared | dynamic shared | blocks an SM | " + " | ".join(kinds) + " |"
    yield "|---" * (5 + len(kinds)) + "|"
    for name, group in itertools.groupby(kernels, lambda k: k.name):
        group = list(group)
        columns = [[k.registers for k in group], [k.shared for k in group], [dynamic_shared(k) for k in group],
                   [k.blocks for k in group], *([k.instructions[kind] for k in group] for kind in kinds)]
        yield f"| `{name}` | " + " | ".join(map(joined, columns)) + " |"


def table_in_docs(lines=None):
    """The table's lines as the document has them; written anew if given."""
    text = DOCS.read_text()
    begin, end = (text.index(mark) for mark in MARKS)
    begin += len(MARKS[0])
    if lines:
        DOCS.write_text(text[:begin] + "\n" + "\n".join(lines) + "\n" + text[end:])
    return text[begin:end].strip().splitlines()


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
    parser.add_argument("--write", action="store_true", help="write the table into docs/kernels.md")
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
    bad = [f"{k.name} ({k.arch}): {what}" for k in kernels for what in violations(k)]
    lines = list(table(kernels))
    if options.sources:
        print("\n".join(lines))
    elif options.write:
        table_in_docs(lines)
    elif (old := table_in_docs()) != lines and old[:1] == lines[:1]:  # another compiler makes other code
        bad.append("docs/kernels.md: the table is not current; run scripts/kernel_table.py --write")
    print("\n".join(bad), file=sys.stderr, end="\n" if bad else "")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
