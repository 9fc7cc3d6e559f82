// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/trials.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "services/common/job.h"
#include "services/common/sha256.h"

namespace hatchery::simulation {
namespace {

std::string MakeData() {
  std::string data;
  for (int i = 0; i < 600; ++i) data += static_cast<char>('a' + i * i % 11);
  return data;
}

v1::Job MakeJob(const std::string& data) {
  v1::Job job = DefaultJob();
  job.set_name("simulated");
  job.mutable_model()->set_hidden(8);
  job.mutable_model()->set_layers(1);
  job.set_population(80);
  job.set_window(4);
  job.set_steps(9);
  job.set_held_out_streams(6);
  job.set_validate_every(3);
  job.set_checkpoint_every(3);
  job.set_checkpoints_kept(2);
  for (v1::DataSplit* split : {job.mutable_train(), job.mutable_held_out()}) {
    split->set_sha256(ToHex(Sha256Of(data)));
    split->set_file_bytes(data.size());
  }
  job.mutable_train()->set_end(500);
  job.mutable_held_out()->set_begin(500);
  job.mutable_held_out()->set_end(data.size());
  return job;
}

}  // namespace

TrialData::TrialData() {
  std::string name = (std::filesystem::temp_directory_path() / "hatchery-sim-XXXXXX").string();
  directory_ = mkdtemp(name.data());
  std::filesystem::create_directory(directory_ + "/files");
  const std::string data = MakeData();
  std::ofstream(directory_ + "/files/" + ToHex(Sha256Of(data))) << data;
}

TrialData::~TrialData() { std::filesystem::remove_all(directory_); }

Trials::Trials(Bug bug, const std::string& directory)
    : bug_(bug), directory_(directory), data_(MakeData()) {
  v1::Job job = MakeJob(data_);
  labs_.push_back(std::make_unique<Lab>(job, data_));
  job.set_fitness(v1::NORMALIZED);
  job.mutable_noise()->set_seed(2);
  job.set_steps(7);
  job.set_validate_every(0);
  labs_.push_back(std::make_unique<Lab>(job, data_));
}

Outcome Trials::Run(const Plan& plan, std::ostream* trace) {
  return World(plan, *labs_[plan.job], directory_, bug_, trace).Run();
}

}  // namespace hatchery::simulation
