#include "trainers/trainer.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "tests/support/temporary_folder.h"
#include "trainers/errors.h"

namespace adatape {
namespace {

RunConfig small() {
  RunConfig config;
  config.model = AdaTapeConfig{};
  std::get<AdaTapeConfig>(config.model).encoder = {16, 2, 2, 16, "tanh", 1e-6};
  config.loader.batch_size = 16;
  config.loop.steps = 40;
  config.schedule.warmup_steps = 4;
  config.threads = 1;
  config.ema.decay = 0.9;
  return config;
}

bool same_weights(Trainer& a, Trainer& b) {
  const auto x = a.model().parameters(), y = b.model().parameters();
  for (size_t i = 0; i < x.size(); ++i) {
    if (!torch::equal(x[i], y[i])) return false;
  }
  return true;
}

TEST(Trainer, ResumesBitForBit) {
  const test::TemporaryFolder folder;
  Trainer whole(small()), first(small()), second(small());
  for (int i = 0; i < 20; ++i) whole.step();
  for (int i = 0; i < 9; ++i) first.step();
  first.save(folder.path() + "/step-9", {{"note", 1}});
  EXPECT_FALSE(same_weights(first, second));
  EXPECT_EQ(second.restore(folder.path() + "/step-9").at("note"), 1);
  EXPECT_EQ(second.position(), 9);
  for (int i = 9; i < 20; ++i) second.step();
  EXPECT_TRUE(same_weights(whole, second));
  EXPECT_EQ(whole.evaluate_ema()->loss, second.evaluate_ema()->loss);
}

TEST(Trainer, AccumulationEqualsOneLargerBatch) {
  RunConfig parts = small(), once = small();
  parts.loop.accumulate = 4;
  once.loader.batch_size = 64;
  Trainer a(parts), b(once);
  const StepResult ra = a.step(), rb = b.step();
  EXPECT_NEAR(ra.loss, rb.loss, 1e-6);
  EXPECT_NEAR(ra.grad_norm, rb.grad_norm, 1e-5 * rb.grad_norm + 1e-7);
  EXPECT_EQ(ra.examples, 64);
  EXPECT_EQ(ra.right, rb.right);
  EXPECT_EQ(ra.macs, rb.macs);
  EXPECT_EQ(ra.tokens, rb.tokens);
  const std::vector<Means::Entry> ma(ra.meters.begin(), ra.meters.end()),
      mb(rb.meters.begin(), rb.meters.end());
  ASSERT_EQ(ma.size(), mb.size());
  for (size_t i = 0; i < ma.size(); ++i) {
    EXPECT_EQ(ma[i].name, mb[i].name);
    EXPECT_EQ(ma[i].count, mb[i].count);
    EXPECT_NEAR(ma[i].mean(), mb[i].mean(), 1e-6 * std::abs(mb[i].mean())) << ma[i].name;
  }
}

TEST(Trainer, WorkersDoNotChangeARun) {
  RunConfig workers = small();
  workers.loader.workers = 3;
  Trainer a(small()), b(workers);
  for (int i = 0; i < 6; ++i) a.step(), b.step();
  EXPECT_TRUE(same_weights(a, b));
}

TEST(Trainer, SkipsAnUpdateThatIsNotFinite) {
  Trainer trainer(small());
  trainer.step();
  const auto before = trainer.model().parameters()[0].clone();
  {
    torch::NoGradGuard no_grad;
    trainer.model().named_parameters()["head.weight"].fill_(std::nan(""));
  }
  const StepResult result = trainer.step();
  EXPECT_TRUE(result.skipped);
  EXPECT_TRUE(torch::equal(trainer.model().parameters()[0], before));
}

TEST(Trainer, EvaluationLeavesTrainingUntouched) {
  Trainer a(small()), b(small());
  for (int i = 0; i < 4; ++i) a.step(), b.step();
  a.evaluate();
  a.evaluate_ema();
  for (int i = 0; i < 4; ++i) a.step(), b.step();
  EXPECT_TRUE(same_weights(a, b));
}

TEST(Trainer, EvaluationStopsBetweenBatchesAndLeavesTrainingUntouched) {
  RunConfig config = small();
  std::get<ParityConfig>(config.data).evaluation_examples = 100;
  Trainer a(config), b(config);
  int asked = 0;
  const Stop third = [&] { return ++asked == 3; };
  EXPECT_FALSE(a.evaluate(third).has_value());
  EXPECT_EQ(asked, 3);
  EXPECT_TRUE(a.model().is_training());
  asked = 0;
  EXPECT_FALSE(a.evaluate_ema(third).has_value());
  a.step(), b.step();
  EXPECT_TRUE(same_weights(a, b));
}

TEST(Trainer, TheLossFalls) {
  RunConfig config = small();
  std::get<ParityConfig>(config.data).length = 2;
  config.loop.steps = 150;
  config.optimizer.lr = 1e-2;
  Trainer trainer(config);
  const double before = trainer.evaluate()->loss;
  while (trainer.position() < config.loop.steps) trainer.step();
  EXPECT_LT(trainer.evaluate()->loss, 0.5 * before);
}

}  // namespace
}  // namespace adatape
