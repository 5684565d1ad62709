"""Training as users meet it: run folders, resumes, exit codes, damaged files."""
import json

import pytest
from safetensors.numpy import load_file
from support.runs import SMOKE, STEPS, checkpoint_steps, metrics, weights
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

# Within two steps the weights are so large that nothing finite comes out of them.
DIVERGING = ["optimizer.lr=1000", "optimizer.weight_decay=900", "optimizer.clip_norm=0",
             "optimizer.eps=1e-30", "schedule.warmup_steps=0"]


def test_run_folder_holds_what_the_readme_says(finished):
    run, summary = finished
    assert {"config.yaml", "environment.json", "metrics.jsonl", "log.txt", "summary.json",
            "checkpoints"} <= {p.name for p in run.iterdir()}
    assert json.loads((run / "summary.json").read_text()) == summary
    environment = json.loads((run / "environment.json").read_text())
    assert {"git_revision", "torch", "cpu", "host"} <= environment.keys()
    assert 0 <= summary["evaluation"]["accuracy"] <= 1


def test_metrics_have_each_step_once(finished):
    records = metrics(finished[0])
    assert [r["step"] for r in records if r["split"] == "train"] == list(range(5, STEPS + 1, 5))
    assert [r["step"] for r in records if r["split"] == "evaluation"] == [20, 40, 60]
    for key in ("epoch", "loss", "accuracy", "lr", "grad_norm", "examples_per_second", "seconds",
                "macs", "tape_tokens"):
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


def test_finished_run_is_not_trained_again_and_keeps_its_summary(finished, copy_of_finished,
                                                                 program):
    before = (copy_of_finished / "metrics.jsonl").read_text()
    result = program("train", copy_of_finished / "config.yaml", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == finished[1]
    assert json.loads((copy_of_finished / "summary.json").read_text()) == finished[1]
    assert (copy_of_finished / "metrics.jsonl").read_text() == before


def test_finished_run_without_its_metrics_is_evaluated_once_more(finished, copy_of_finished,
                                                                 program):
    (copy_of_finished / "metrics.jsonl").write_text('{"step":"x"}\n')
    result = program("train", copy_of_finished / "config.yaml", "--json")
    assert result.returncode == 0, result.stderr
    evaluation = json.loads(result.stdout)["evaluation"]
    assert evaluation.keys() == finished[1]["evaluation"].keys()
    assert evaluation["ema_loss"] == finished[1]["evaluation"]["ema_loss"]
    assert [r["step"] for r in metrics(copy_of_finished)] == [STEPS]


def test_another_configuration_is_refused_with_the_keys(copy_of_finished, program):
    harmless = ["log.every=7", "loop.evaluate_every=7", "loop.max_skipped=3", "loader.workers=2"]
    refused = program("train", SMOKE, "run.name=whole", "optimizer.lr=0.5", *harmless)
    assert refused.returncode == 2
    assert "optimizer.lr: 0.003 there, 0.5 here" in refused.stderr
    for key in harmless:  # they change no weight
        assert key.split("=")[0] not in refused.stderr
    accepted = program("train", SMOKE, "run.name=whole", *harmless)
    assert accepted.returncode == 0, accepted.stderr


def test_damaged_newest_checkpoint_falls_back_with_a_warning(copy_of_finished, program):
    newest = copy_of_finished / f"checkpoints/step-{STEPS}/model.safetensors"
    data = bytearray(newest.read_bytes())
    data[-1] ^= 1
    newest.write_bytes(data)
    direct = program("evaluate", newest.parent)
    assert direct.returncode == 5 and "model.safetensors" in direct.stderr
    assert "tensor '" in direct.stderr
    run = program("evaluate", "runs/whole")
    assert run.returncode == 0 and "warning" in run.stderr
    for other in (copy_of_finished / "checkpoints").iterdir():
        (other / "manifest.json").write_text("{}")
    nothing = program("evaluate", "runs/whole")
    assert nothing.returncode == 5 and "no intact checkpoint" in nothing.stderr


def test_training_goes_on_after_damage_and_ends_in_the_same_weights(finished, copy_of_finished,
                                                                    program):
    newest = copy_of_finished / f"checkpoints/step-{STEPS}"
    with open(newest / "state.json", "a") as state:
        state.write("x")
    again = program("train", SMOKE, "run.name=whole", "checkpoint.keep=1")
    assert again.returncode == 0, again.stderr
    assert "state.json is damaged" in again.stderr and "step-50" in again.stderr
    assert weights(copy_of_finished) == weights(finished[0])
    assert newest.with_suffix(".damaged").exists()
    assert program("evaluate", newest).returncode == 0


def test_deeply_nested_manifest_is_damage(copy_of_finished, program):
    manifest = '{"files":{"a":' + "[" * 300_000 + "]" * 300_000 + "}}"
    for checkpoint in (copy_of_finished / "checkpoints").iterdir():
        (checkpoint / "manifest.json").write_text(manifest)
    result = program("train", SMOKE, "run.name=whole")
    assert result.returncode == 5 and "manifest.json is damaged" in result.stderr


def test_divergence_exits_4_and_names_a_checkpoint_that_is_good(program, tmp_path):
    result = program("train", SMOKE, "run.name=wild", *DIVERGING, "checkpoint.every=1",
                     "loop.max_skipped=10")
    assert result.returncode == 4, result.stderr
    run = tmp_path / "runs/wild"
    updates = result.stderr.split("warning: step ")[1].split(":")[0]
    last_update = int(updates) - 1
    assert checkpoint_steps(run)[-1] == last_update  # none while updates were skipped
    good = f"runs/wild/checkpoints/step-{last_update - 1}"
    assert f"last good checkpoint: {good};" in result.stderr
    evaluation = json.loads(program("evaluate", good, "--json").stdout)
    assert evaluation["loss"] is not None  # as NaN would be
    table = program("evaluate", f"runs/wild/checkpoints/step-{last_update}").stdout
    assert "loss          nan\n" in table


def test_divergence_before_any_good_checkpoint_says_none(program):
    result = program("train", SMOKE, "run.name=wild", *DIVERGING, "checkpoint.every=5",
                     "loop.max_skipped=10")
    assert result.returncode == 4, result.stderr
    assert "last good checkpoint: none;" in result.stderr
