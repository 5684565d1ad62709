#include "trainers/evaluation.h"

#include <torch/torch.h>

#include <algorithm>

#include "csrc/formats/atomic_file.h"
#include "csrc/log/progress.h"
#include "trainers/means.h"

namespace adatape {
namespace {

/// Percentiles by the nearest rank, so each is some example's real count.
Spread spread_of(std::vector<int64_t> counts) {
  if (counts.empty()) return {};
  std::sort(counts.begin(), counts.end());
  const auto rank = [&](double share) {
    const size_t n = size_t(std::max(1.0, std::ceil(share * double(counts.size()))));
    return double(counts[n - 1]);
  };
  double total = 0;
  for (int64_t count : counts) total += double(count);
  return {total / double(counts.size()), rank(0.5), rank(0.95)};
}

void append(std::vector<int64_t>& all, const at::Tensor& counts) {
  const at::Tensor dense = counts.cpu().contiguous();
  all.insert(all.end(), dense.const_data_ptr<int64_t>(),
             dense.const_data_ptr<int64_t>() + dense.numel());
}

struct Columns {
  std::vector<int64_t> label, prediction, tokens, macs;
};

void write_ledger(const std::string& path, const Columns& c) {
  formats::AtomicFile file(path);
  for (size_t i = 0; i < c.label.size(); ++i) {
    const nlohmann::ordered_json line = {{"example", i},
                                         {"label", c.label[i]},
                                         {"prediction", c.prediction[i]},
                                         {"tokens", c.tokens[i]},
                                         {"macs", c.macs[i]}};
    const std::string text = line.dump() + "\n";
    file.write(text.data(), text.size());
  }
  file.commit();
}

}  // namespace

nlohmann::json Evaluation::record() const {
  nlohmann::json r = meters;
  r.update({{"examples", examples},
            {"loss", loss},
            {"accuracy", accuracy},
            {"macs", macs.mean},
            {"macs_p50", macs.p50},
            {"macs_p95", macs.p95},
            {"tokens", tokens.mean},
            {"tokens_p50", tokens.p50},
            {"tokens_p95", tokens.p95},
            {"seconds", seconds},
            {"examples_per_second", seconds > 0 ? double(examples) / seconds : 0.0}});
  return r;
}

std::optional<Evaluation> evaluate(Model& model, const Task& task, Loader loader,
                                   const std::string& ledger_path, const Stop& stop) {
  const bool training = model.is_training();
  model.eval();
  torch::NoGradGuard no_grad;
  Evaluation result;
  Columns columns;
  Means meters;
  const double began = log::steady_seconds();
  for (int64_t i = loader.batches(); i > 0; --i) {
    if (stop && stop()) {
      model.train(training);
      return std::nullopt;
    }
    const Batch batch = loader.next();
    const Output output = model.forward(batch);
    result.loss += task.example_loss(output, batch.label_B).sum().item<double>();
    append(columns.label, batch.label_B);
    append(columns.prediction, Task::predict(output));
    append(columns.tokens, output.tokens_B);
    append(columns.macs, output.macs_B);
    meters.add(output.meters);
  }
  result.seconds = log::steady_seconds() - began;
  result.examples = int64_t(columns.label.size());
  int64_t right = 0;
  for (size_t i = 0; i < columns.label.size(); ++i)
    right += columns.label[i] == columns.prediction[i];
  result.loss /= double(result.examples);
  result.accuracy = double(right) / double(result.examples);
  result.macs = spread_of(columns.macs);
  result.tokens = spread_of(columns.tokens);
  for (const Means::Entry& meter : meters) result.meters[meter.name] = meter.mean();
  if (!ledger_path.empty()) write_ledger(ledger_path, columns);
  model.train(training);
  return result;
}

}  // namespace adatape
