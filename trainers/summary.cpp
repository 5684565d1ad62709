#include "trainers/summary.h"

#include <cmath>

#include "trainers/text.h"

namespace adatape {

using nlohmann::json;

double number(const json& record, const std::string& name) {
  const auto found = record.find(name);
  return found != record.end() && found->is_number() ? found->get<double>() : std::nan("");
}

std::string summary_table(const json& summary) {
  const json& e = summary.at("evaluation");
  std::string table;
  const auto row = [&](const std::string& name, const std::string& value) {
    table += name + std::string(name.size() < 14 ? 14 - name.size() : 1, ' ') + value + "\n";
  };
  const auto millions = [&](const std::string& name) { return fixed(number(e, name) / 1e6, 3); };
  row("run", summary.at("run"));
  row("model", summary.at("model").get<std::string>() + ", " +
                   fixed(number(summary, "parameters"), 0) + " parameters, seed " +
                   fixed(number(summary, "seed"), 0));
  row("accuracy", fixed(100 * number(e, "accuracy"), 2) + "% on " +
                      fixed(number(e, "examples"), 0) + " examples");
  row("loss", fixed(number(e, "loss"), 4));
  if (e.contains("ema_accuracy"))
    row("ema accuracy", fixed(100 * number(e, "ema_accuracy"), 2) + "%");
  if (e.contains("tape_tokens"))
    row("tape tokens", fixed(number(e, "tape_tokens"), 2) + " an example");
  row("MACs", millions("macs") + " M an example (median " + millions("macs_p50") +
                  " M, 95th percentile " + millions("macs_p95") + " M)");
  row("training", fixed(number(summary, "steps"), 0) + " steps in " +
                      fixed(number(summary, "train_seconds"), 1) + " s, " +
                      fixed(number(summary, "steps_per_second"), 1) + " steps/s on " +
                      counted(summary.at("threads"), "thread"));
  row("checkpoint", summary.at("checkpoint"));
  return table;
}

}  // namespace adatape
