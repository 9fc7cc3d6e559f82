// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "hatchery/v1/coordinator.pb.h"
#include "kernels/status.h"

struct sqlite3;

namespace hatchery::coordinator {

// The index of jobs, workers and events, for people and for restarts. The journals are the truth
// about steps; the catalogue knows what is in no journal: states, reasons, priorities, events.
// Not thread-safe.
class Catalogue {
 public:
  static StatusOr<std::unique_ptr<Catalogue>> Open(const std::string& path);
  // For readers, beside a coordinator that may be running: changes nothing.
  static StatusOr<std::unique_ptr<Catalogue>> OpenToRead(const std::string& path);
  ~Catalogue();
  Catalogue(const Catalogue&) = delete;
  Catalogue& operator=(const Catalogue&) = delete;

  // Adds the job or replaces what is known of it.
  Status PutJob(const v1::JobState& job);
  // The same, and on stable storage on return.
  Status PutJobDurably(const v1::JobState& job);
  // In the order of their submission.
  StatusOr<std::vector<v1::JobState>> Jobs();

  // The oldest of a great many are forgotten.
  Status AddEvent(const v1::Event& event);
  // Oldest first, the newest `most`; an empty id means all jobs' and the coordinator's own.
  StatusOr<std::vector<v1::Event>> Events(const std::string& job_id, uint32_t most);

  // Adds the worker's session or replaces what is known of it.
  Status PutWorker(const v1::WorkerState& worker);
  // The same for many, in one transaction.
  Status PutWorkers(const std::vector<v1::WorkerState>& workers);
  // How often workers of that name were found wrong, durably; the oldest names of a great many are
  // forgotten.
  Status PutStrikes(const std::string& name, uint32_t count);
  StatusOr<std::map<std::string, uint32_t>> Strikes();
  // The largest number of a worker's id that is known ("w12": 12); 0: there was none.
  StatusOr<uint64_t> LastWorker();
  // Every session that contributed, the newest `most`; the oldest of a great many are forgotten.
  StatusOr<std::vector<v1::WorkerState>> Workers(uint32_t most);

  // kDataLoss, naming the first fault, if the database's own check finds one.
  Status CheckIntegrity();
  // Copies the catalogue as it is now to the file `path`, which must not exist.
  Status CopyTo(const std::string& path);

 private:
  explicit Catalogue(sqlite3* database) : database_(database) {}
  // Syncs what `write` commits, and all that was committed before.
  Status Durably(const std::function<Status()>& write);
  // `what` is for the error.
  Status Execute(const char* sql, const char* what);

  sqlite3* database_;
  uint32_t events_added_ = 0, workers_put_ = 0;
};

}  // namespace hatchery::coordinator
