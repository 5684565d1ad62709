#include "trainers/run_log.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/temporary_folder.h"

namespace adatape {
namespace {

std::vector<nlohmann::json> lines(const std::string& path) {
  std::ifstream file(path);
  std::vector<nlohmann::json> all;
  for (std::string line; std::getline(file, line);) all.push_back(nlohmann::json::parse(line));
  return all;
}

TEST(RunLog, DropsWhatCameAfterTheResumedStepAndACutLine) {
  const test::TemporaryFolder folder;
  {
    RunLog log(LogConfig{}, folder.path(), 0);
    for (int step : {10, 20, 30})
      log.add({{"step", step}, {"split", "train"}, {"loss", 1.0 / step}});
  }
  std::ofstream(folder.path() + "/metrics.jsonl", std::ios::app) << R"({"step": 40, "sp)";
  {
    RunLog log(LogConfig{}, folder.path(), 20);
    log.add({{"step", 30}, {"split", "train"}, {"loss", 0.5}});
  }
  const auto all = lines(folder.path() + "/metrics.jsonl");
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[1].at("step"), 20);
  EXPECT_EQ(all[2].at("loss"), 0.5);
}

TEST(RunLog, DropsLinesThatAreNoRecords) {
  const test::TemporaryFolder folder;
  const std::string path = folder.path() + "/metrics.jsonl";
  const std::string good = R"({"step":5,"split":"evaluation","accuracy":0.5})";
  std::ofstream(path) << R"({"step":"x","split":"train"})"
                      << "\n[1]\n"
                      << good << "\n{\"step\":null}\n{\"step\":5,\"split\":7}\n"
                      << R"({"step":1.5,"split":"train"})"
                      << "\n{\"step\":6,\"split\":\"evaluation\",\"x\":" << std::string(300000, '[')
                      << std::string(300000, ']') << "}\n";
  RunLog log(LogConfig{}, folder.path(), 10);
  EXPECT_EQ(test::read_bytes(path), good + "\n");
}

TEST(RunLog, KnowsTheEvaluationsOfEarlierProcesses) {
  const test::TemporaryFolder folder;
  const auto record = [](int step, const char* split) {
    return nlohmann::json{{"step", step}, {"split", split}};
  };
  {
    RunLog log(LogConfig{}, folder.path(), 0);
    log.add(record(10, "train"));
    log.add(record(10, "evaluation"));
    log.add(record(20, "evaluation"));
    EXPECT_EQ(log.evaluations().size(), 2u);
  }
  const RunLog log(LogConfig{}, folder.path(), 10);
  ASSERT_EQ(log.evaluations().size(), 1u);
  EXPECT_EQ(log.evaluations().at(10), record(10, "evaluation"));
}

TEST(RunLog, WritesEventsOnlyIfAsked) {
  const test::TemporaryFolder with, without;
  RunLog(LogConfig{1, true}, with.path(), 0).add({{"step", 1}, {"split", "train"}, {"loss", 1.0}});
  RunLog(LogConfig{1, false}, without.path(), 0)
      .add({{"step", 1}, {"split", "train"}, {"loss", 1.0}});
  const auto events = [](const std::string& folder) {
    int count = 0;
    for (const auto& e : std::filesystem::directory_iterator(folder))
      count += e.path().string().find("tfevents") != std::string::npos;
    return count;
  };
  EXPECT_EQ(events(with.path()), 1);
  EXPECT_EQ(events(without.path()), 0);
}

}  // namespace
}  // namespace adatape
