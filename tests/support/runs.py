"""Runs of the program, watched from outside."""
import json
import re
import subprocess
import time

from conftest import ROOT

SMOKE = str(ROOT / "configs/smoke/adatape.yaml")
STEPS = 60  # of SMOKE
# The same for long enough that a test can act while it trains, every step of it in metrics.jsonl.
LONG_STEPS = 500
LONG = [f"loop.steps={LONG_STEPS}", "log.every=1"]


def metrics(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def timeless(records):
    """Without what depends on the machine's speed."""
    wall = ("seconds", "examples_per_second")
    return [{k: v for k, v in r.items() if k not in wall} for r in records]


def weights(run, step=STEPS):
    return (run / f"checkpoints/step-{step}/model.safetensors").read_bytes()


def checkpoint_steps(run):
    """Steps of its checkpoints, oldest first."""
    names = [path.name for path in (run / "checkpoints").iterdir()]
    return sorted(int(name[5:]) for name in names if re.fullmatch(r"step-\d+", name))


def last_step(run):
    """Of metrics.jsonl, which may be in the middle of being written; 0 without one."""
    path = run / "metrics.jsonl"
    steps = re.findall(r'"step":(\d+).*\n', path.read_text()) if path.exists() else []
    return int(steps[-1]) if steps else 0


def start(program_path, folder, *arguments):
    """Starts it; what it says goes to the file `said` in the folder."""
    with open(folder / "said", "w") as said:
        return subprocess.Popen([program_path, *arguments], cwd=folder, stdout=said, stderr=said)


def wait_for_step(process, run, step):
    """Returns once metrics.jsonl holds this step, and the process still trains."""
    while last_step(run) < step:
        assert process.poll() is None, (run.parent.parent / "said").read_text()
        time.sleep(0.002)
