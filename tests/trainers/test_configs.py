"""Every configuration that ships is valid, the reference is current, and broken ones fail well."""
import json
import re
import subprocess

import pytest

from conftest import ROOT

CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_config_checks_and_shows_itself_again(path, program, tmp_path):
    assert program("config", "check", path).returncode == 0
    shown = program("config", "show", path)
    assert shown.returncode == 0, shown.stderr
    (tmp_path / "again.yaml").write_text(shown.stdout)
    assert program("config", "show", "again.yaml").stdout == shown.stdout


def test_reference_is_current(program):
    printed = program("config", "reference").stdout
    assert (ROOT / "configs/REFERENCE.md").read_text() == printed, (
        "run: adatape config reference > configs/REFERENCE.md")


SIGNATURES = ROOT / "tests/golden/signatures.json"


@pytest.mark.parametrize("path", sorted((ROOT / "configs/smoke").glob("*.yaml")),
                         ids=lambda path: path.stem)
def test_every_smoke_config_trains_to_its_signature(path, program, tmp_path):
    """Its training record at step 20; a change that moves one says why, and writes the new one."""
    result = program("train", path, "run.name=smoke")
    assert result.returncode == 0, result.stderr
    assert "accuracy" in result.stdout and "steps/s on 1 thread\n" in result.stdout
    assert re.search(r"step 20/60  loss \d\.\d{4}  accuracy \d+\.\d%  ", result.stderr)
    records = map(json.loads, (tmp_path / "runs/smoke/metrics.jsonl").read_text().splitlines())
    record = next(r for r in records if r["step"] == 20 and r["split"] == "train")
    expected = json.loads(SIGNATURES.read_text())[path.stem]
    assert {key: record[key] for key in expected} == pytest.approx(expected, rel=1e-4)


# name: (content of c.yaml, line of the message, phrase in it)
BROKEN = {
    "unknown key": ("loop:\n  stepz: 3\n", 2, "did you mean 'loop.steps'"),
    "unknown section": ("optimiser: {lr: 1}\n", 1, "did you mean 'optimizer'"),
    "key of another section": ("loop:\n  lr: 3\n", 2, "optimizer.lr"),
    "text for a number": ("loop:\n  steps: many\n", 2, "whole number"),
    "fraction for a count": ("loop: {steps: 1.5}\n", 1, "whole number"),
    "quoted number": ("seed: '3'\n", 1, "whole number"),
    "octal": ("seed: 010\n", 1, "zero"),
    "hexadecimal": ("seed: 0x10\n", 1, "decimal"),
    "underscores": ("seed: 1_000\n", 1, "write 1000"),
    "yes for a boolean": ("model: {name: adatape, cls_token: yes}\n", 1, "true"),
    "off for a boolean": ("log: {tensorboard: off}\n", 1, "false"),
    "number for a boolean": ("log: {tensorboard: 1}\n", 1, "true"),
    "nan": ("optimizer: {lr: .nan}\n", 1, "finite"),
    "infinity": ("optimizer: {lr: .inf}\n", 1, "finite"),
    "overflow": ("seed: 99999999999999999999999\n", 1, "seed"),
    "negative": ("loop: {steps: -1}\n", 1, "loop.steps"),
    "zero layers": ("model: {name: adatape, encoder: {layers: 0}}\n", 1, "between 1"),
    "beta of one": ("optimizer: {beta1: 1}\n", 1, "less than 1"),
    "unknown choice": ("task: {loss: hinge}\n", 1, "sigmoid"),
    "unknown model": ("model: {name: adatap}\n", 1, "adatape"),
    "model without a name": ("model: {dim: 3}\n", 1, "model.name"),
    "list for a section": ("loop: [1, 2]\n", 1, "loop"),
    "number for a section": ("loop: 3\n", 1, "loop"),
    "section for a number": ("seed: {a: 1}\n", 1, "seed"),
    "list for a number": ("seed: [1]\n", 1, "seed"),
    "null for a number": ("seed: null\n", 1, "seed"),
    "empty value": ("seed:\n", 1, "seed"),
    "duplicate key": ("seed: 1\nthreads: 1\nseed: 2\n", 3, "line 1"),
    "duplicate section": ("loop: {steps: 5}\nloop: {steps: 6}\n", 2, "line 1"),
    "dim not a multiple of heads": ("model:\n  name: adatape\n  encoder: {dim: 10, heads: 4}\n",
                                    3, "multiple of heads"),
    "threshold above tokens": ("model:\n  name: adatape\n  tape: {max_tokens: 2, threshold: 3}\n",
                               3, "never halt"),
    "insertion past the end": ("model: {name: adatape, tape: {insert_at: 9}}\n",
                               1, "past the last block"),
    "cls pool without cls": ("model: {name: transformer, cls_token: false, pool: cls}\n",
                             1, "cls_token"),
    "cls query at layer 0": ("model: {name: adatape, tape: {query: cls, insert_at: 0}}\n",
                             1, "every example"),
    "warm-up past the end": ("loop: {steps: 10}\n", 1, "peak rate"),
    "head too wide": ("model: {name: adatape, encoder: {dim: 1024, heads: 2, layers: 2}}\n",
                      1, "at most 256"),
    "run name with a slash": ("run: {name: a/b}\n", 1, "one folder name"),
    "tab indentation": ("loop:\n\tsteps: 3\n", 2, "tab"),
    "bad indentation": ("loop:\n  steps: 3\n threads: 1\n", 3, "check its indentation"),
    "unclosed bracket": ("loop: {steps: 3\n", 1, "the end of the '{' of line 1 is missing"),
    "unclosed quote": ("seed: 'x\n", 1, "never closed"),
    "two documents": ("seed: 1\n---\nseed: 2\n", 2, "document"),
    "a list file": ("- a\n- b\n", 1, "the file is a list"),
    "a scalar file": ("hello\n", 1, "the file is 'hello'"),
    "a tag": ("seed: !!int 3\n", 1, "tag"),
    "an object tag": ("seed: !python/object:os.system 3\n", 1, "tag"),
    "merge key": ("a: &a {b: 1}\nloop:\n  <<: *a\n", 3, "merge keys (<<) are not supported"),
    "undefined alias": ("seed: *x\n", 1, "must name an anchor"),
    "binary junk": (bytes(range(256)) * 4, 1, "(\\x00) is not text"),
    "NUL byte": (b"seed: 1\n\x00\n", 2, "(\\x00) is not text"),
    "invalid UTF-8": (b"seed: 1\nrun: {name: \xff\xfe}\n", 2, "UTF-8"),
    "control character": (b"seed: 1\nrun: {name: \x1b[31m}\n", 2, "(\\x1b) is not text"),
    "missing base": ("base: nowhere.yaml\n", 1, "nowhere.yaml"),
    "base is itself": ("base: c.yaml\n", 1, "leads back to itself"),
    "base is a folder": ("base: .\n", 1, "is a directory"),
    "base is a list": ("base: [a, b]\n", 1, "base"),
    "deep nesting": ("a: " + "[" * 5000 + "]" * 5000 + "\n", 1, "more than 1000 brackets"),
    "alias bomb": ("a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{c}: &{c} [{','.join(['*' + p] * 9)}]\n" for p, c in zip("abcdefgh", "bcdefghi")),
                   5, "counting each alias"),
    "long line": ("seed: " + "9" * 500_000 + "\n", 1, "seed"),
    "non-scalar key": ("? [a, b]\n: 1\n", 1, "a key must be a plain word"),
    "many problems": ("seed: x\nthreads: y\nlog: {every: z}\n", 3, "log.every"),
}
OVERRIDES = {
    "no equals sign": ("loop.steps", "loop.steps"),
    "empty key": ("=3", "=3"),
    "unknown key": ("loop.stepz=3", "loop.steps"),
    "through a number": ("seed.x=3", "seed"),
    "wrong type": ("model.encoder.dim=abc", "model.encoder.dim"),
    "out of range": ("loop.steps=0", "loop.steps"),
    "broken yaml": ("loop.steps=[", "loop.steps"),
}
TRACES = re.compile(
    r"yaml-cpp|terminate called|what\(\)|std::|bad conversion|exception|core dumped", re.IGNORECASE)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_a_message_with_file_and_line(name, program, tmp_path):
    content, line, phrase = BROKEN[name]
    (tmp_path / "c.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    result = program("config", "check", "c.yaml")
    assert result.returncode == 2, (result.returncode, result.stderr)
    assert re.search(rf"c\.yaml:{line}: .*{re.escape(phrase)}", result.stderr), result.stderr
    assert not TRACES.search(result.stderr), result.stderr


@pytest.mark.parametrize("name", OVERRIDES)
def test_a_broken_override_is_a_message_with_the_override(name, program):
    override, phrase = OVERRIDES[name]
    result = program("config", "show", ROOT / "configs/smoke/adatape.yaml", override)
    assert result.returncode == 2
    assert "command line" in result.stderr and phrase in result.stderr
    assert not TRACES.search(result.stderr), result.stderr


def test_files_that_are_no_files(program, program_path, tmp_path):
    (tmp_path / "huge.yaml").write_bytes(b"# x\n" * 25_000_000)
    (tmp_path / "folder.yaml").mkdir()
    subprocess.run(["mkfifo", tmp_path / "pipe.yaml"], check=True)
    for name in ("huge.yaml", "folder.yaml", "pipe.yaml", "missing.yaml", "/dev/zero"):
        result = program("config", "check", name)
        assert result.returncode == 2 and name in result.stderr, result.stderr
        assert not TRACES.search(result.stderr)


def test_a_cycle_of_bases_is_named(program, tmp_path):
    (tmp_path / "a.yaml").write_text("base: b.yaml\n")
    (tmp_path / "b.yaml").write_text("base: a.yaml\n")
    result = program("config", "check", "a.yaml")
    assert result.returncode == 2 and "a.yaml" in result.stderr and "b.yaml" in result.stderr
