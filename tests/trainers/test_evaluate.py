"""Evaluating a trained model: ledger, budgets, and what cannot be evaluated."""
import json

import pytest
from support.runs import STEPS


def test_evaluate_repeats_the_summary_and_writes_the_ledger(finished, copy_of_finished, program):
    result = program("evaluate", "runs/whole", "--json")
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["accuracy"] == finished[1]["evaluation"]["accuracy"]
    lines = (copy_of_finished / "ledger.jsonl").read_text().splitlines()
    ledger = [json.loads(line) for line in lines]
    assert len(ledger) == 200
    assert set(ledger[0]) == {"example", "label", "prediction", "tokens", "macs"}
    assert sum(e["label"] == e["prediction"] for e in ledger) / 200 == record["accuracy"]
    assert sum(e["macs"] for e in ledger) / 200 == pytest.approx(record["macs"])


def test_evaluate_takes_another_budget(copy_of_finished, program):
    macs = []
    for threshold in (1, 2):
        result = program("evaluate", "runs/whole", f"model.tape.threshold={threshold}", "--json")
        assert result.returncode == 0, result.stderr
        macs.append(json.loads(result.stdout)["macs"])
    assert macs[0] < macs[1]


def test_a_ledger_that_cannot_be_written_is_found_before_the_evaluation(copy_of_finished, program):
    for path, phrase in (("/nonexistent/x", "cannot create '/nonexistent/x'"),
                         ("runs", "runs is a folder; give a file")):
        result = program("evaluate", "runs/whole", "--ledger", path)
        assert result.returncode == 2 and phrase in result.stderr
        assert result.stdout == ""


def test_a_setting_that_makes_another_model_is_a_usage_error(copy_of_finished, program):
    result = program("evaluate", "runs/whole", "data.length=9")
    assert result.returncode == 2, result.stderr
    assert "settings given here" in result.stderr and "has shape" in result.stderr


def test_a_checkpoint_without_its_manifest_is_unusable(copy_of_finished, program):
    checkpoint = copy_of_finished / f"checkpoints/step-{STEPS}"
    (checkpoint / "manifest.json").unlink()
    result = program("evaluate", checkpoint)
    assert result.returncode == 5 and "manifest.json" in result.stderr
