"""Kills and signals: what they leave, and that the run goes on from there to the same weights."""
import random
import re
import signal
import time

import pytest
from support.runs import (LONG, LONG_STEPS, SMOKE, checkpoint_steps, last_step, metrics, start,
                          timeless, wait_for_step, weights)
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def resumed_from(folder):
    """The step from whose checkpoint the latest process went on; 0 if from none."""
    step = re.search(r"going on from .*step-(\d+)", (folder / "said").read_text())
    return int(step[1]) if step else 0


def test_twenty_kills_at_random_steps_change_nothing(long_run, program_path, tmp_path):
    rng = random.Random(4)
    run = tmp_path / "runs/killed"
    command = ["train", SMOKE, "run.name=killed", *LONG, "checkpoint.every=3"]
    resumed = []
    for _ in range(20):
        process = start(program_path, tmp_path, *command)
        wait_for_step(process, run, last_step(run) + rng.randint(4, 20))
        time.sleep(rng.uniform(0, 0.01))  # anywhere in a step, or in a save
        process.kill()
        assert process.wait() == -signal.SIGKILL
        resumed.append(resumed_from(tmp_path))
    assert start(program_path, tmp_path, *command).wait(timeout=120) == 0
    resumed.append(resumed_from(tmp_path))
    assert resumed[0] == 0 and all(a < b for a, b in zip(resumed, resumed[1:])), resumed
    assert weights(run, LONG_STEPS) == weights(long_run, LONG_STEPS)
    assert timeless(metrics(run)) == timeless(metrics(long_run))


def test_killed_before_its_first_checkpoint_leaves_no_second_points(program_path, tmp_path):
    run = tmp_path / "runs/early"
    command = ["train", SMOKE, "run.name=early", *LONG, "loop.steps=100", "loop.evaluate_every=0",
               "checkpoint.every=0"]
    process = start(program_path, tmp_path, *command)
    wait_for_step(process, run, 3)
    process.kill()
    process.wait()
    assert checkpoint_steps(run) == []
    assert start(program_path, tmp_path, *command).wait(timeout=60) == 0
    events = EventAccumulator(str(run))
    events.Reload()
    assert [e.step for e in events.Scalars("train/loss")] == list(range(1, 101))


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signal_saves_and_exits_75_and_the_run_goes_on(long_run, program_path, tmp_path, sent):
    run = tmp_path / "runs/stopped"
    command = ["train", SMOKE, "run.name=stopped", *LONG, "checkpoint.every=0"]
    process = start(program_path, tmp_path, *command)
    wait_for_step(process, run, 2)
    process.send_signal(sent)
    assert process.wait(timeout=60) == 75
    assert "run again to go on" in (tmp_path / "said").read_text()
    stopped_at = checkpoint_steps(run)[-1]
    assert 2 <= stopped_at == last_step(run) < LONG_STEPS
    assert start(program_path, tmp_path, *command).wait(timeout=60) == 0
    assert resumed_from(tmp_path) == stopped_at
    assert weights(run, LONG_STEPS) == weights(long_run, LONG_STEPS)
    assert timeless(metrics(run)) == timeless(metrics(long_run))


def test_second_signal_ends_it_at_once(program_path, tmp_path):
    run = tmp_path / "runs/slow"
    process = start(program_path, tmp_path, "train", SMOKE, "run.name=slow", *LONG,
                    "checkpoint.every=0", "loop.evaluate_every=0", "loader.batch_size=50000")
    wait_for_step(process, run, 1)  # the next step takes most of a second
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    # Of two signals that wait for the process together, the system chooses the first.
    assert process.wait(timeout=60) in (128 + signal.SIGTERM, 128 + signal.SIGINT)
    assert checkpoint_steps(run) == []


def test_signal_in_an_evaluation_saves_and_leaves_it_to_the_next_process(program_path, tmp_path):
    run = tmp_path / "runs/evaluating"
    command = ["train", SMOKE, "run.name=evaluating", "loop.steps=10", "log.every=10",
               "loop.evaluate_every=0", "checkpoint.every=0", "ema.decay=0",
               "data.evaluation_examples=200000"]
    process = start(program_path, tmp_path, *command)
    wait_for_step(process, run, 10)  # the evaluation begins
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 75
    assert [r["split"] for r in metrics(run)] == ["train"]
    assert checkpoint_steps(run) == [10]
    for _ in range(2):  # the second time there is nothing left to do
        assert start(program_path, tmp_path, *command).wait(timeout=120) == 0
        assert [r["split"] for r in metrics(run)] == ["train", "evaluation"]


def test_two_processes_cannot_train_one_run(program, program_path, tmp_path):
    command = ["train", SMOKE, "run.name=shared", "loop.steps=100000"]
    first = start(program_path, tmp_path, *command)
    try:
        wait_for_step(first, tmp_path / "runs/shared", 1)
        second = program(*command)
    finally:
        first.kill()
        first.wait()
    assert second.returncode == 2 and "in use by another process" in second.stderr
