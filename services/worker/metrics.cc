// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/worker/metrics.h"

#include <chrono>

namespace hatchery::worker {

double MonotonicSeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void WriteMetrics(const WorkerFigures& figures, const v1::Hello& hello,
                  const std::vector<DeviceMemory>& memories, MetricsPage& page) {
  page.Gauge("hatchery_worker_info", "Who this worker is; always 1.", 1,
             {{"name", hello.name()},
              {"backend", hello.backend()},
              {"device", hello.device()},
              {"version", hello.software_version()}});
  page.Gauge("hatchery_worker_connected", "1 while there is a stream to the coordinator, else 0.",
             figures.connected);
  page.Counter("hatchery_worker_connects_total", "Streams to the coordinator that were opened.",
               static_cast<double>(figures.connects));
  page.Gauge("hatchery_worker_step", "Step that the replica is at.", figures.step);
  page.Counter("hatchery_worker_pairs_total", "Pairs evaluated.",
               static_cast<double>(figures.pairs));
  page.Counter("hatchery_worker_tokens_total", "Bytes scored, over all members evaluated.",
               static_cast<double>(figures.tokens));
  constexpr char kShards[] = "Shards that were worked on, by outcome.";
  page.Counter("hatchery_worker_shards_total", kShards, static_cast<double>(figures.shards_done),
               {{"outcome", "done"}});
  page.Counter("hatchery_worker_shards_total", kShards, static_cast<double>(figures.shards_failed),
               {{"outcome", "failed"}});
  const auto seconds = figures.Seconds(MonotonicSeconds());
  for (size_t i = 0; i < seconds.size(); ++i)
    page.Counter("hatchery_worker_activity_seconds_total",
                 "Time that the worker spent on each activity; together, all of its time.",
                 seconds[i], {{"activity", kActivityNames[i]}});
  page.Gauge("hatchery_worker_step_idle_ratio",
             "Share of the newest step that the replica waited for work.",
             figures.idle_share().newest);
  page.Histogram("hatchery_worker_evaluate_seconds", "Time that one shard took.",
                 figures.evaluations());
  page.Histogram("hatchery_worker_commit_seconds", "Time that one commit took to apply.",
                 figures.commits());
  constexpr char kBytes[] = "Bytes of the session's messages, before framing and encryption.";
  page.Counter("hatchery_worker_wire_bytes_total", kBytes,
               static_cast<double>(figures.bytes_received), {{"direction", "received"}});
  page.Counter("hatchery_worker_wire_bytes_total", kBytes, static_cast<double>(figures.bytes_sent),
               {{"direction", "sent"}});
  // A worker on processors has no GPU; its memory is process_resident_memory_bytes.
  for (const DeviceMemory& memory : memories) {
    const MetricsPage::Labels device = {{"device", std::to_string(memory.device)}};
    page.Gauge("hatchery_worker_device_memory_free_bytes", "Free memory of a GPU.",
               static_cast<double>(memory.free_bytes), device);
    page.Gauge("hatchery_worker_device_memory_size_bytes", "Memory of a GPU.",
               static_cast<double>(memory.size_bytes), device);
  }
}

}  // namespace hatchery::worker
