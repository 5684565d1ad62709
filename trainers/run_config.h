// The whole configuration of a run: the sum of its owners' settings. Torch-free, so that checking a
// configuration, and fuzzing that, needs no LibTorch.
#pragma once

#include <cstdint>
#include <string>

#include "csrc/config/schema.h"
#include "csrc/models/models_config.h"
#include "datasets/datasets_config.h"
#include "datasets/loader_config.h"
#include "trainers/optimizer_config.h"

namespace adatape {

/// Where a run keeps its files.
struct RunFolderConfig {
  std::string name;
  std::string folder = "runs";

  static void declare(auto& c, auto&& field) {
    field("name", c.name,
          "the run's folder below run.folder; empty: the configuration's name and the time");
    field("folder", c.folder, "folder of all runs, relative to the current one");
  }
  static void validate(const RunFolderConfig& c, auto&& problem) {
    if (c.name == "." || c.name == ".." || c.name.find('/') != std::string::npos) {
      problem("name", "must be one folder name, without '/'");
    }
    if (c.folder.empty()) problem("folder", "is empty; use '.' for the current folder");
  }
};

/// From a model's output to a loss.
struct TaskConfig {
  std::string loss = "sigmoid";

  static void declare(auto& c, auto&& field) {
    field("loss", c.loss, config::OneOf{"sigmoid", "softmax"},
          "sigmoid: binary cross-entropy with the one-hot label, summed over classes (AdaTape); "
          "softmax: cross-entropy");
  }
};

/// When the loop steps, evaluates and gives up.
struct LoopConfig {
  int64_t steps = 8000;
  int64_t accumulate = 1;
  int64_t evaluate_every = 0;
  int64_t max_skipped = 10;

  static void declare(auto& c, auto&& field) {
    using namespace config;
    field("steps", c.steps, Range{1, 1e12}, "optimiser steps");
    field("accumulate", c.accumulate, Range{1, 65536},
          "batches whose gradients are averaged into one step");
    field("evaluate_every", c.evaluate_every, Range{0, 1e12},
          "steps between evaluations; 0: at the end only");
    field("max_skipped", c.max_skipped, Range{0, 1e9},
          "updates in a row that may be skipped for a loss or gradient that is not finite; one "
          "more ends the run");
  }
};

/// When checkpoints are written and how many stay.
struct CheckpointConfig {
  int64_t every = 1000;
  int64_t keep = 2;
  bool keep_best = true;

  static void declare(auto& c, auto&& field) {
    using namespace config;
    field("every", c.every, Range{0, 1e12}, "steps between checkpoints; 0: at the end only");
    field("keep", c.keep, Range{1, 1e6}, "newest checkpoints that stay");
    field("keep_best", c.keep_best, "keep the checkpoint of the best evaluation too");
  }
};

/// What is reported while training.
struct LogConfig {
  int64_t every = 100;
  bool tensorboard = true;

  static void declare(auto& c, auto&& field) {
    field("every", c.every, config::Range{1, 1e9}, "steps between lines of metrics.jsonl");
    field("tensorboard", c.tensorboard, "write TensorBoard events into the run folder too");
  }
};

struct RunConfig {
  int64_t seed = 0;
  int64_t threads = 0;
  RunFolderConfig run;
  DatasetConfig data;
  LoaderConfig loader;
  ModelConfig model;
  TaskConfig task;
  OptimizerConfig optimizer;
  ScheduleConfig schedule;
  LoopConfig loop;
  EmaConfig ema;
  CheckpointConfig checkpoint;
  LogConfig log;

  static void declare(auto& c, auto&& field) {
    using namespace config;
    field("seed", c.seed, Range{0, 9.0e15}, "of weights, data and all else that is drawn");
    field("threads", c.threads, Range{0, 1024}, "CPU threads of one process; 0: as many as cores");
    field("run", c.run, "the run folder");
    field("data", c.data, "the dataset, chosen by name");
    field("loader", c.loader, "batches");
    field("model", c.model, "the model, chosen by name");
    field("task", c.task, "the loss");
    field("optimizer", c.optimizer, "AdamW");
    field("schedule", c.schedule, "the learning rate over steps");
    field("loop", c.loop, "the training loop");
    field("ema", c.ema, "moving average of the weights");
    field("checkpoint", c.checkpoint, "checkpoints");
    field("log", c.log, "reports");
  }
  static void validate(const RunConfig& c, auto&& problem) {
    if (c.schedule.warmup_steps >= c.loop.steps && c.schedule.warmup_steps > 0) {
      problem("schedule.warmup_steps",
              std::to_string(c.schedule.warmup_steps) + " is not below loop.steps " +
                  std::to_string(c.loop.steps) + ", so the peak rate is never reached");
    }
  }
};

}  // namespace adatape
