// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/metrics.h"

#include <array>
#include <filesystem>

#include "services/common/job.h"

namespace hatchery::coordinator {
namespace {

using v1::JobState;

// Jobs that are shown one by one: the one that runs and the newest ones.
constexpr size_t kJobsShown = 5;
constexpr std::array kWorkerStates = {"connected", "proving", "loading", "idle", "working"};
constexpr std::array kBackends = {"cpu", "cuda", "metal", "gang"};
constexpr std::array kPhases = {"commit", "evaluate", "wait", "journal"};

// A worker may say anything; labels are ours.
std::string BackendLabel(const std::string& backend) {
  for (const char* known : kBackends)
    if (backend == known) return backend;
  return "other";
}

std::string StateLabel(JobState::State state) {
  std::string name = JobState::State_Name(state);
  for (char& c : name) c = static_cast<char>(std::tolower(c));
  return name;
}

void WriteTally(const Tally& tally, MetricsPage& page) {
  page.Counter("hatchery_steps_total", "Steps committed and durable.", tally.steps);
  page.Counter("hatchery_tokens_total", "Bytes scored in committed steps, over all members.",
               tally.tokens);
  for (size_t i = 0; i < kPhases.size(); ++i)
    page.Histogram("hatchery_step_phase_seconds",
                   "Time that a step spent in each phase; the phases are the whole step.",
                   tally.phases[i], {{"phase", kPhases[i]}});
  page.Counter("hatchery_shards_assigned_total", "Shards lent, hedges and audits not counted.",
               tally.shards_assigned);
  page.Counter("hatchery_shards_completed_total", "Shards whose result was accepted.",
               tally.shards_completed);
  page.Counter("hatchery_shards_hedged_total",
               "Shards lent a second time because the first worker was slow.", tally.shards_hedged);
  constexpr char kReissued[] = "Shards taken back without a result, to be lent again, by why.";
  page.Counter("hatchery_shards_reissued_total", kReissued, tally.shards_expired,
               {{"reason", "expired"}});
  page.Counter("hatchery_shards_reissued_total", kReissued, tally.shards_failed,
               {{"reason", "failed"}});
  page.Counter("hatchery_shards_reissued_total", kReissued, tally.shards_withdrawn,
               {{"reason", "worker_lost"}});
  page.Counter("hatchery_shards_audited_total", "Shards that had a second opinion to the end.",
               tally.shards_audited);
  page.Counter("hatchery_shards_disputed_total", "Shards on which two workers differed.",
               tally.shards_disputed);
  page.Counter("hatchery_digest_disagreements_total",
               "Reports of a replica's digest that differed from the others' or the journal's.",
               tally.digests_disputed);
}

void WriteWorkers(const Figures& figures, MetricsPage& page) {
  std::map<std::pair<std::string, std::string>, uint32_t> counts;
  for (const char* state : kWorkerStates) counts[{state, "cpu"}];  // never without a series
  for (const auto& [key, count] : figures.workers)
    counts[{key.first, BackendLabel(key.second)}] += count;
  for (const auto& [key, count] : counts)
    page.Gauge("hatchery_workers", "Connected workers, by state and backend.", count,
               {{"state", key.first}, {"backend", key.second}});
}

void WriteJob(const JobState& state, uint64_t journal_bytes, MetricsPage& page) {
  const MetricsPage::Labels job = {{"job_id", state.job_id()}};
  const v1::JobUpdate& latest = state.latest();
  page.Gauge("hatchery_job_info", "Name and state of the job; always 1.", 1,
             {{"job_id", state.job_id()},
              {"name", state.job().name()},
              {"state", StateLabel(state.state())}});
  page.Gauge("hatchery_job_running", "1 if the job is the one that workers are on, else 0.",
             state.state() == JobState::RUNNING, job);
  page.Gauge("hatchery_job_step", "Commits so far.", state.step(), job);
  page.Gauge("hatchery_job_steps", "Steps of the whole job.", state.job().steps(), job);
  page.Gauge("hatchery_job_workers", "Workers that hold its replica.", state.workers(), job);
  page.Gauge("hatchery_job_tokens_per_step", "Bytes that a step scores, over all members.",
             static_cast<double>(TokensPerStep(state.job())), job);
  page.Gauge("hatchery_job_journal_bytes", "Size of the job's journal.",
             static_cast<double>(journal_bytes), job);
  if (state.step() == 0) return;
  page.Gauge("hatchery_job_train_loss",
             "Mean loss in bits per byte of the newest step, over the perturbed population.",
             latest.train_bits_per_byte(), job);
  page.Gauge("hatchery_job_update_alpha_ratio",
             "Share of the weights that pure noise would move in the newest step.", latest.alpha(),
             job);
  page.Gauge("hatchery_job_fitness_nonzero_ratio",
             "Share of the pairs whose two members scored differently in the newest step.",
             latest.fitness_nonzero(), job);
  if (latest.validation_bits_per_byte() == 0) return;
  page.Gauge("hatchery_job_held_out_loss",
             "Loss in bits per byte of the unperturbed model on held-out data, when last measured.",
             latest.validation_bits_per_byte(), job);
  page.Gauge("hatchery_job_held_out_accuracy_ratio",
             "Share of held-out bytes whose likeliest prediction was right.",
             latest.validation_accuracy(), job);
  page.Gauge("hatchery_job_held_out_step", "Step whose weights were measured on held-out data.",
             latest.validation_step(), job);
}

void WriteWeights(const std::string& job, const WeightFigures& figures, MetricsPage& page) {
  page.Gauge("hatchery_job_checkpoint_step", "Step of the newest checkpoint stored.", figures.step,
             {{"job_id", job}});
  for (const WeightFigures::Part& part : figures.parts) {
    const MetricsPage::Labels labels = {{"job_id", job}, {"layer", part.name}};
    page.Gauge("hatchery_job_weight_saturation_ratio",
               "Share of a layer's weights at -127 or 127 in the newest checkpoint.",
               part.saturated, labels);
    if (!part.replaced) continue;
    page.Gauge("hatchery_job_weight_change_ratio",
               "Share of a layer's weights that differ between the two newest checkpoints.",
               *part.replaced, labels);
  }
}

void WriteDisk(const JobStore& store, MetricsPage& page) {
  page.Counter("hatchery_journal_written_bytes_total", "Bytes appended to journals.",
               static_cast<double>(store.appended_bytes()));
  std::error_code error;
  const auto space = std::filesystem::space(store.directory(), error);
  if (error) return;
  page.Gauge("hatchery_data_dir_free_bytes",
             "Bytes that the coordinator may still write on the data directory's disk.",
             static_cast<double>(space.available));
  page.Gauge("hatchery_data_dir_size_bytes", "Size of that disk.",
             static_cast<double>(space.capacity));
}

void WriteTraffic(const Bounds& bounds, MetricsPage& page) {
  constexpr char kHelp[] = "Bytes of messages, before framing and encryption.";
  const auto write = [&](const char* direction, const char* kind, uint64_t bytes) {
    page.Counter("hatchery_wire_bytes_total", kHelp, static_cast<double>(bytes),
                 {{"direction", direction}, {"kind", kind}});
  };
  write("received", "session", bounds.traffic.session_received);
  write("sent", "session", bounds.traffic.session_sent);
  write("received", "file", bounds.traffic.file_received);
  write("sent", "file", bounds.traffic.file_sent);
}

}  // namespace

void WriteMetrics(const Engine& engine, const Bounds& bounds, MetricsPage& page) {
  const Engine::Overview overview = engine.Watch(kJobsShown);
  page.Gauge("hatchery_build_info", "Version of this coordinator; always 1.", 1,
             {{"version", HATCHERY_VERSION}});
  WriteTally(overview.figures.tally, page);
  WriteWorkers(overview.figures, page);
  for (int state = JobState::State_MIN; state <= JobState::State_MAX; ++state) {
    const auto known = static_cast<JobState::State>(state);
    const auto found = overview.figures.jobs.find(known);
    page.Gauge("hatchery_jobs", "Jobs, by state.",
               found == overview.figures.jobs.end() ? 0 : found->second,
               {{"state", StateLabel(known)}});
  }
  for (const JobState& job : overview.figures.recent) {
    std::error_code error;
    const auto size =
        std::filesystem::file_size(engine.store().Run(job.job_id()).journal_path(), error);
    WriteJob(job, error ? 0 : size, page);
    const auto weights = overview.weights.find(job.job_id());
    if (weights != overview.weights.end()) WriteWeights(job.job_id(), weights->second, page);
  }
  for (const auto& [kind, count] : overview.events)
    page.Counter("hatchery_events_total", "Events, by the kind that `hatchery events` shows.",
                 static_cast<double>(count), {{"kind", kind}});
  WriteDisk(engine.store(), page);
  WriteTraffic(bounds, page);
}

}  // namespace hatchery::coordinator
