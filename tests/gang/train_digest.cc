// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// train_digest: trains one of a few small jobs on seeded text, on one backend, alone or as a rank
// under mpirun, and prints what came of it: the digest and the held-out score. The line must not
// depend on what trained it (scripts/parity-gpus). Needs none of the services' libraries.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/core/philox.h"
#include "services/common/backend.h"
#include "services/common/guard.h"
#include "services/gang/gang.h"

namespace hatchery {
namespace {

struct Named {
  const char *name, *what;
  JobSpec spec;
};

JobSpec Base(uint32_t layers, uint32_t hidden) {
  JobSpec spec;
  spec.layers = layers;
  spec.hidden = hidden;
  spec.window = 32;
  spec.held_out_streams = 250;
  return spec;
}

std::vector<Named> Jobs() {
  std::vector<Named> jobs = {{"groups2", "6 x 256, groups of 2", Base(6, 256)},
                             {"groups64", "6 x 256, groups of 64", Base(6, 256)},
                             {"plain96", "3 x 96", Base(3, 96)},
                             {"rank4", "3 x 96, rank 4", Base(3, 96)},
                             {"gaussian", "6 x 256, Gaussian noise", Base(6, 256)}};
  jobs[1].spec.group_size = 64;
  jobs[3].spec.rank = 4;
  jobs[4].spec.noise = core::Noise::kGaussian;
  jobs[4].spec.sigma_shift = 4;
  return jobs;
}

std::vector<uint8_t> Text(size_t size, uint64_t key) {
  std::vector<uint8_t> text(size);
  for (size_t i = 0; i < size; ++i)
    text[i] = "etaoin shrdlu"[core::Philox({static_cast<uint32_t>(i), 0, 0, 0}, key).w0 % 13];
  return text;
}

struct Options {
  std::string job;
  uint32_t steps = 20, population = 17 * 128;  // 8.5 tiles of a GPU's for each of two
  BackendOptions backend;
};

StatusOr<JobSpec> SpecOf(const Options& options) {
  for (Named& job : Jobs()) {
    if (options.job != job.name) continue;
    job.spec.population = options.population;
    return job.spec;
  }
  return NotFound("there is no job '" + options.job + "'; --help lists them");
}

Status Train(const Options& options) {
  HATCHERY_ASSIGN_OR_RETURN(const auto gang, Gang::Join(options.backend));
  if (gang && gang->rank() != 0) {
    gang->Follow();
    return {};
  }
  const ReplicaFactory create = gang ? gang->Factory() : FactoryOf(options.backend);
  HATCHERY_ASSIGN_OR_RETURN(const JobSpec spec, SpecOf(options));
  const auto train = Text(1 << 16, 1), held_out = Text(1 << 14, 2);
  HATCHERY_ASSIGN_OR_RETURN(const auto replica, create(spec, {train, held_out}));
  std::fprintf(stderr, "train_digest: %s on %s\n", options.job.c_str(),
               replica->Description().c_str());
  std::vector<int32_t> scores(spec.population);
  while (replica->step() < options.steps) {
    HATCHERY_RETURN_IF_ERROR(replica->Evaluate({0, spec.pairs()}, {}, scores));
    HATCHERY_RETURN_IF_ERROR(replica->Apply(MakeCommit(spec, replica->step(), scores)));
  }
  HATCHERY_ASSIGN_OR_RETURN(const auto sums, replica->Validate(0, spec.held_out_streams, {}));
  HATCHERY_ASSIGN_OR_RETURN(const core::Digest digest, replica->DigestOfAll());
  std::printf("%s %lld\n", FormatDigest(digest).c_str(), static_cast<long long>(sums.score));
  return {};
}

void PrintHelp() {
  std::printf(
      "usage: train_digest JOB [--steps 20] [--population 2176] [--backend auto|cpu|cuda]\n"
      "                    [--devices 0,1]\n"
      "Prints the digest and the held-out score after so many steps. Jobs:\n");
  for (const Named& job : Jobs()) std::printf("  %-9s %s\n", job.name, job.what);
}

// Whether the arguments can be used.
bool Parse(int argc, char** argv, Options& options) {
  if (argc < 2 || argc % 2 != 0) return false;  // JOB, then pairs
  options.job = argv[1];
  for (int i = 2; i < argc; i += 2) {
    const std::string name = argv[i], value = argv[i + 1];
    const auto number = static_cast<uint32_t>(std::strtoul(value.c_str(), nullptr, 10));
    if (name == "--steps") {
      options.steps = number;
    } else if (name == "--population") {
      options.population = number;
    } else if (name == "--backend") {
      options.backend.name = value;
    } else if (name == "--devices") {
      options.backend.devices = value;
    } else {
      return false;
    }
  }
  return true;
}

int Main(int argc, char** argv) {
  Options options;
  if (argc == 2 && std::strcmp(argv[1], "--help") == 0) {
    PrintHelp();
    return 0;
  }
  if (!Parse(argc, argv, options)) {
    std::fprintf(stderr,
                 "train_digest: cannot use these arguments; --help tells which there are\n");
    return 2;
  }
  const Status status = Train(options);
  if (status.ok()) return 0;
  std::fprintf(stderr, "train_digest: %s\n", status.message().c_str());
  return 1;
}

}  // namespace
}  // namespace hatchery

int main(int argc, char** argv) {
  return hatchery::GuardedMain("train_digest", [&] { return hatchery::Main(argc, argv); });
}
