"""The program as users meet it: runs, resumes, signals, exit codes, damaged files."""
import json
import random
import shutil
import signal
import subprocess
import time

import pytest
from safetensors.numpy import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from conftest import ROOT

SMOKE = ROOT / "configs/smoke/adatape.yaml"
STEPS = 60


def metrics(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def weights(run, step=STEPS):
    return (run / f"checkpoints/step-{step}/model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def finished(tmp_path_factory, program_path):
    """The uninterrupted run that others are compared with."""
    folder = tmp_path_factory.mktemp("finished")
    result = subprocess.run([program_path, "train", str(SMOKE), "run.name=whole", "--json"], cwd=folder,
                            capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return folder / "runs/whole", json.loads(result.stdout)


def test_run_folder_holds_what_the_readme_says(finished):
    run, summary = finished
    assert {"config.yaml", "environment.json", "metrics.jsonl", "log.txt", "summary.json", "checkpoints"} <= {
        p.name for p in run.iterdir()}
    assert json.loads((run / "summary.json").read_text()) == summary
    assert {"git_revision", "torch", "cpu", "host"} <= json.loads((run / "environment.json").read_text()).keys()
    assert 0 <= summary["evaluation"]["accuracy"] <= 1


def test_metrics_have_each_step_once(finished):
    records = metrics(finished[0])
    assert [r["step"] for r in records if r["split"] == "train"] == list(range(5, STEPS + 1, 5))
    assert [r["step"] for r in records if r["split"] == "evaluation"] == [20, 40, 60]
    for key in ("epoch", "loss", "accuracy", "lr", "grad_norm", "examples_per_second", "seconds", "macs", "tape_tokens"):
        assert isinstance(records[0][key], (int, float)), key


def test_tensorboard_reads_the_same_numbers(finished):
    events = EventAccumulator(str(finished[0]))
    events.Reload()
    expected = {r["step"]: r["loss"] for r in metrics(finished[0]) if r["split"] == "train"}
    assert {e.step: e.value for e in events.Scalars("train/loss")} == pytest.approx(expected)


def test_checkpoint_opens_in_python_with_timm_like_names(finished):
    tensors = load_file(finished[0] / f"checkpoints/step-{STEPS}/model.safetensors")
    assert tensors["blocks.0.attn.qkv.weight"].shape == (48, 16)
    assert tensors["cls_token"].shape == (1, 1, 16)


def test_finished_run_is_not_trained_again(finished, program_path):
    run, summary = finished
    before = (run / "metrics.jsonl").read_text()
    result = subprocess.run([program_path, "train", str(run / "config.yaml"), "--json"], cwd=run.parent.parent,
                            capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["evaluation"]["loss"] == summary["evaluation"]["loss"]
    assert (run / "metrics.jsonl").read_text() == before


def test_kill_nine_at_random_moments_changes_nothing(finished, program_path, tmp_path):
    rng = random.Random(4)
    command = [program_path, "train", str(SMOKE), "run.name=killed", "checkpoint.every=3"]
    kills = 0
    for _ in range(200):
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=rng.uniform(0.05, 0.6))
            assert process.returncode == 0
            if kills >= 20:
                break
            shutil.rmtree(tmp_path / "runs/killed")  # ended before its kill: from the start again
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
    assert kills >= 20
    run = tmp_path / "runs/killed"
    assert weights(run) == weights(finished[0])
    wall = ("seconds", "examples_per_second")
    strip = lambda records: [{k: v for k, v in r.items() if k not in wall} for r in records]
    assert strip(metrics(run)) == strip(metrics(finished[0]))


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signal_saves_and_exits_75_and_the_run_goes_on(finished, program_path, tmp_path, sent):
    command = [program_path, "train", str(SMOKE), "run.name=stopped", "checkpoint.every=0"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "runs/stopped/metrics.jsonl"
    while process.poll() is None and not (log.exists() and log.read_text().count("\n") >= 2):
        time.sleep(0.002)
    process.send_signal(sent)
    message = process.communicate(timeout=60)[1]
    assert process.returncode in (75, 0), message
    if process.returncode == 75:
        assert "run again to go on" in message
        assert subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60).returncode == 0
    assert weights(tmp_path / "runs/stopped") == weights(finished[0])


def test_another_configuration_is_refused_with_the_keys(finished, program_path):
    run, _ = finished
    result = subprocess.run([program_path, "train", str(SMOKE), "run.name=whole", "optimizer.lr=0.5", "log.every=7"],
                            cwd=run.parent.parent, capture_output=True, text=True)
    assert result.returncode == 2
    assert "optimizer.lr: 0.003 there, 0.5 here" in result.stderr
    assert "log.every" not in result.stderr  # changes no weight


def test_damaged_newest_checkpoint_falls_back_with_a_warning(finished, program_path, tmp_path):
    shutil.copytree(finished[0], tmp_path / "runs/whole")
    newest = tmp_path / f"runs/whole/checkpoints/step-{STEPS}/model.safetensors"
    data = bytearray(newest.read_bytes())
    data[-1] ^= 1
    newest.write_bytes(data)
    evaluate = lambda path: subprocess.run([program_path, "evaluate", path], cwd=tmp_path, capture_output=True, text=True)
    direct = evaluate(str(newest.parent))
    assert direct.returncode == 5 and "model.safetensors" in direct.stderr and "tensor '" in direct.stderr
    run = evaluate("runs/whole")
    assert run.returncode == 0 and "warning" in run.stderr
    for other in (tmp_path / "runs/whole/checkpoints").iterdir():
        (other / "manifest.json").write_text("{}")
    nothing = evaluate("runs/whole")
    assert nothing.returncode == 5 and "no intact checkpoint" in nothing.stderr


def test_evaluate_repeats_the_summary_and_writes_the_ledger(finished, program_path):
    run, summary = finished
    result = subprocess.run([program_path, "evaluate", str(run), "--json"], cwd=run, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["accuracy"] == summary["evaluation"]["accuracy"]
    ledger = [json.loads(line) for line in (run / "ledger.jsonl").read_text().splitlines()]
    assert len(ledger) == 200 and set(ledger[0]) == {"example", "label", "prediction", "tokens", "macs"}
    assert sum(e["label"] == e["prediction"] for e in ledger) / 200 == record["accuracy"]
    assert sum(e["macs"] for e in ledger) / 200 == pytest.approx(record["macs"])


def test_evaluate_takes_another_budget(finished, program_path):
    macs = []
    for threshold in (1, 2):
        result = subprocess.run([program_path, "evaluate", str(finished[0]), f"model.tape.threshold={threshold}",
                                 "--json"],
                                capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        macs.append(json.loads(result.stdout)["macs"])
    assert macs[0] < macs[1]


def test_divergence_exits_4_and_names_the_checkpoint(program, tmp_path):
    result = program("train", SMOKE, "run.name=wild", "optimizer.lr=1000", "optimizer.clip_norm=0", "optimizer.eps=1e-30",
                     "loop.steps=4000", "loop.max_skipped=2", "schedule.warmup_steps=0", "optimizer.weight_decay=900")
    assert result.returncode == 4, result.stderr[-2000:]
    assert "last good checkpoint" in result.stderr


def test_two_processes_cannot_train_one_run(program_path, tmp_path):
    command = [program_path, "train", str(SMOKE), "run.name=shared", "loop.steps=100000"]
    first = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    while not (tmp_path / "runs/shared/metrics.jsonl").exists():
        time.sleep(0.01)
    second = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    first.kill()
    first.wait()
    assert second.returncode == 2 and "in use by another process" in second.stderr


@pytest.mark.parametrize("arguments, phrase", [
    (["train"], "config is required"),
    (["trian", "x.yaml"], "train"),
    (["train", "no-such.yaml"], "no-such.yaml"),
    (["train", SMOKE, "model.encoder.dmi=3"], "did you mean"),
    (["evaluate", "nowhere"], "neither a run folder"),
    (["config", "check", SMOKE, "missing.yaml"], "missing.yaml"),
    (["train", SMOKE, "run.name=a/b"], "one folder name"),
])
def test_usage_errors_exit_2_with_a_sentence(program, arguments, phrase):
    result = program(*arguments)
    assert result.returncode == 2, result.stderr
    assert phrase in result.stderr
    for trace in ("what():", "terminate called", "std::", "Exception"):
        assert trace not in result.stderr


def test_help_and_version(program):
    assert "Example" in program("--help").stdout
    for command in ("train", "evaluate", "config"):
        assert program(command, "--help").returncode == 0
    assert program("--version").stdout.startswith("adatape ")
