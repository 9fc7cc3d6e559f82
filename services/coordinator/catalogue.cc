// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/catalogue.h"

#include <sqlite3.h>

#include <algorithm>

namespace hatchery::coordinator {
namespace {

constexpr int kBusyMilliseconds = 5000;

// Messages are stored as protobuf in `body`; the other columns are for order and for people with a
// SQLite shell.
constexpr char kSchema[] =
    "PRAGMA journal_mode = WAL;"
    "PRAGMA synchronous = NORMAL;"
    "BEGIN;"
    "CREATE TABLE IF NOT EXISTS jobs (id TEXT PRIMARY KEY, number INTEGER, name TEXT, state TEXT,"
    "  step INTEGER, body BLOB NOT NULL);"
    "CREATE TABLE IF NOT EXISTS workers (id TEXT PRIMARY KEY, name TEXT, backend TEXT,"
    "  pairs_done INTEGER, connected INTEGER, body BLOB NOT NULL);"
    "CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY, milliseconds INTEGER,"
    "  job TEXT, worker TEXT, step INTEGER, kind TEXT, message TEXT);"
    "CREATE TABLE IF NOT EXISTS strikes (name TEXT PRIMARY KEY, count INTEGER);"
    "CREATE INDEX IF NOT EXISTS events_by_job ON events (job, number);"
    "COMMIT;";

// Peers cause events: they may not fill the disk. Looked at every so often.
constexpr int64_t kEventsKept = 500'000;
constexpr uint32_t kEventsBetweenLooks = 1000, kWorkersBetweenLooks = 1000;
constexpr int64_t kWorkersKept = 20'000;
constexpr int64_t kNamesKept = 10'000;

Status ErrorOf(sqlite3* database, const std::string& what) {
  const int code = sqlite3_errcode(database);
  const std::string text = "the catalogue: " + what + ": " + sqlite3_errmsg(database);
  if (code == SQLITE_FULL) return ResourceExhausted(text + "; free some space on its disk");
  if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
    return DataLoss(text +
                    "; move catalogue.sqlite away and restart: jobs are found from their "
                    "journals");
  return InternalError(text);
}

// A prepared statement; finalised when it goes.
class Statement {
 public:
  Statement(sqlite3* database, const char* sql) : database_(database) {
    sqlite3_prepare_v2(database, sql, -1, &statement_, nullptr);
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& Text(int place, const std::string& value) {
    sqlite3_bind_text(statement_, place, value.data(), static_cast<int>(value.size()),
                      SQLITE_TRANSIENT);
    return *this;
  }
  Statement& Blob(int place, const std::string& value) {
    sqlite3_bind_blob(statement_, place, value.data(), static_cast<int>(value.size()),
                      SQLITE_TRANSIENT);
    return *this;
  }
  Statement& Number(int place, int64_t value) {
    sqlite3_bind_int64(statement_, place, value);
    return *this;
  }

  std::string TextAt(int column) const {
    const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
    return std::string(bytes == nullptr ? "" : bytes,
                       static_cast<size_t>(sqlite3_column_bytes(statement_, column)));
  }
  int64_t NumberAt(int column) const { return sqlite3_column_int64(statement_, column); }

  // Runs to the end, calling `row` for every row.
  Status Run(const std::string& what, const std::function<void()>& row = {}) {
    if (statement_ == nullptr) return ErrorOf(database_, what);
    int code;
    while ((code = sqlite3_step(statement_)) == SQLITE_ROW)
      if (row) row();
    return code == SQLITE_DONE ? Status() : ErrorOf(database_, what);
  }

 private:
  sqlite3* database_;
  sqlite3_stmt* statement_ = nullptr;
};

}  // namespace

StatusOr<std::unique_ptr<Catalogue>> Catalogue::Open(const std::string& path) {
  sqlite3* database = nullptr;
  const int code = sqlite3_open(path.c_str(), &database);
  std::unique_ptr<Catalogue> catalogue(new Catalogue(database));
  if (code != SQLITE_OK) return ErrorOf(database, "opening " + path);
  HATCHERY_RETURN_IF_ERROR(catalogue->Execute(kSchema, "making its tables"));
  return catalogue;
}

StatusOr<std::unique_ptr<Catalogue>> Catalogue::OpenToRead(const std::string& path) {
  sqlite3* database = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &database, SQLITE_OPEN_READONLY, nullptr);
  std::unique_ptr<Catalogue> catalogue(new Catalogue(database));
  if (code != SQLITE_OK) return ErrorOf(database, "opening " + path);
  sqlite3_busy_timeout(database, kBusyMilliseconds);
  return catalogue;
}

Catalogue::~Catalogue() { sqlite3_close(database_); }

Status Catalogue::Execute(const char* sql, const char* what) {
  if (sqlite3_exec(database_, sql, nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return ErrorOf(database_, what);
}

Status Catalogue::CheckIntegrity() {
  std::string verdict;
  Statement statement(database_, "PRAGMA integrity_check(1)");
  HATCHERY_RETURN_IF_ERROR(statement.Run("checking it", [&] { verdict = statement.TextAt(0); }));
  if (verdict == "ok") return {};
  std::replace(verdict.begin(), verdict.end(), '\n', ' ');
  return DataLoss("the catalogue: " + verdict);
}

Status Catalogue::CopyTo(const std::string& path) {
  sqlite3* copy = nullptr;
  int code = sqlite3_open(path.c_str(), &copy);
  const std::unique_ptr<sqlite3, decltype(&sqlite3_close)> closer(copy, sqlite3_close);
  if (code != SQLITE_OK) return ErrorOf(copy, "creating " + path);
  sqlite3_backup* backup = sqlite3_backup_init(copy, "main", database_, "main");
  if (backup == nullptr) return ErrorOf(copy, "copying to " + path);
  // All at once: a read transaction of a few milliseconds, in which the coordinator can still
  // write.
  do {
    code = sqlite3_backup_step(backup, -1);
    if (code == SQLITE_BUSY || code == SQLITE_LOCKED) sqlite3_sleep(50);
  } while (code == SQLITE_BUSY || code == SQLITE_LOCKED);
  sqlite3_backup_finish(backup);
  return code == SQLITE_DONE ? Status() : ErrorOf(copy, "copying to " + path);
}

// In WAL mode and at NORMAL, what is committed last may be gone after a power cut; at FULL it is
// synced, and with it all that went before.
Status Catalogue::Durably(const std::function<Status()>& write) {
  HATCHERY_RETURN_IF_ERROR(Execute("PRAGMA synchronous = FULL", "before a durable change"));
  const Status written = write();
  const Status restored = Execute("PRAGMA synchronous = NORMAL", "after a durable change");
  return written.ok() ? restored : written;
}

Status Catalogue::PutJobDurably(const v1::JobState& job) {
  return Durably([&] { return PutJob(job); });
}

Status Catalogue::PutJob(const v1::JobState& job) {
  // A job keeps the number, and so the place, that it got when it was submitted.
  Statement statement(database_,
                      "INSERT INTO jobs VALUES (?1, (SELECT ifnull(max(number), 0) + 1 FROM jobs),"
                      " ?2, ?3, ?4, ?5) ON CONFLICT (id) DO UPDATE SET"
                      " name = ?2, state = ?3, step = ?4, body = ?5");
  return statement.Text(1, job.job_id())
      .Text(2, job.job().name())
      .Text(3, v1::JobState::State_Name(job.state()))
      .Number(4, job.step())
      .Blob(5, job.SerializeAsString())
      .Run("storing job " + job.job_id());
}

StatusOr<std::vector<v1::JobState>> Catalogue::Jobs() {
  std::vector<v1::JobState> jobs;
  Statement statement(database_, "SELECT body FROM jobs ORDER BY number");
  HATCHERY_RETURN_IF_ERROR(statement.Run(
      "reading jobs", [&] { jobs.emplace_back().ParseFromString(statement.TextAt(0)); }));
  return jobs;
}

Status Catalogue::AddEvent(const v1::Event& event) {
  if (++events_added_ % kEventsBetweenLooks == 0) {
    Statement prune(database_,
                    "DELETE FROM events WHERE number <= (SELECT max(number) FROM events) - ?1");
    HATCHERY_RETURN_IF_ERROR(prune.Number(1, kEventsKept).Run("forgetting old events"));
  }
  Statement statement(database_, "INSERT INTO events VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6)");
  return statement.Number(1, event.unix_milliseconds())
      .Text(2, event.job_id())
      .Text(3, event.worker_id())
      .Number(4, event.step())
      .Text(5, event.kind())
      .Text(6, event.message())
      .Run("storing an event");
}

StatusOr<std::vector<v1::Event>> Catalogue::Events(const std::string& job_id, uint32_t most) {
  std::vector<v1::Event> events;
  Statement statement(
      database_,
      "SELECT * FROM (SELECT number, milliseconds, job, worker, step, kind, message FROM events"
      " WHERE ?1 = '' OR job = ?1 ORDER BY number DESC LIMIT ?2) ORDER BY number");
  HATCHERY_RETURN_IF_ERROR(statement.Text(1, job_id).Number(2, most).Run("reading events", [&] {
    v1::Event& event = events.emplace_back();
    event.set_unix_milliseconds(statement.NumberAt(1));
    event.set_job_id(statement.TextAt(2));
    event.set_worker_id(statement.TextAt(3));
    event.set_step(static_cast<uint32_t>(statement.NumberAt(4)));
    event.set_kind(statement.TextAt(5));
    event.set_message(statement.TextAt(6));
  }));
  return events;
}

Status Catalogue::PutWorker(const v1::WorkerState& worker) {
  if (++workers_put_ % kWorkersBetweenLooks == 0) {
    Statement prune(database_,
                    "DELETE FROM workers WHERE rowid <= (SELECT max(rowid) FROM workers) - ?1");
    HATCHERY_RETURN_IF_ERROR(prune.Number(1, kWorkersKept).Run("forgetting old workers"));
  }
  // A session keeps its place in the order of arrival.
  Statement statement(database_,
                      "INSERT INTO workers VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (id)"
                      " DO UPDATE SET name = ?2, backend = ?3, pairs_done = ?4, body = ?6");
  return statement.Text(1, worker.worker_id())
      .Text(2, worker.name())
      .Text(3, worker.backend())
      .Number(4, static_cast<int64_t>(worker.pairs_done()))
      .Number(5, worker.connected_unix_seconds())
      .Blob(6, worker.SerializeAsString())
      .Run("storing worker " + worker.worker_id());
}

Status Catalogue::PutWorkers(const std::vector<v1::WorkerState>& workers) {
  if (workers.empty()) return {};
  HATCHERY_RETURN_IF_ERROR(Execute("BEGIN", "before storing workers"));
  Status status;
  for (const v1::WorkerState& worker : workers)
    if (status.ok() && worker.state() != "connected") status = PutWorker(worker);
  const Status ended = Execute(status.ok() ? "COMMIT" : "ROLLBACK", "after storing workers");
  return status.ok() ? ended : status;
}

Status Catalogue::PutStrikes(const std::string& name, uint32_t count) {
  HATCHERY_RETURN_IF_ERROR(Durably([&] {
    Statement put(database_, "INSERT OR REPLACE INTO strikes VALUES (?1, ?2)");
    return put.Text(1, name).Number(2, count).Run("storing what " + name + " did");
  }));
  Statement prune(database_,
                  "DELETE FROM strikes WHERE rowid <= (SELECT max(rowid) FROM strikes) - ?1");
  return prune.Number(1, kNamesKept).Run("forgetting old names");
}

StatusOr<std::map<std::string, uint32_t>> Catalogue::Strikes() {
  std::map<std::string, uint32_t> strikes;
  Statement statement(database_, "SELECT name, count FROM strikes");
  HATCHERY_RETURN_IF_ERROR(statement.Run("reading who was wrong before", [&] {
    strikes[statement.TextAt(0)] = static_cast<uint32_t>(statement.NumberAt(1));
  }));
  return strikes;
}

StatusOr<uint64_t> Catalogue::LastWorker() {
  uint64_t last = 0;
  Statement statement(database_,
                      "SELECT ifnull(max(CAST(substr(id, 2) AS INTEGER)), 0) FROM workers");
  HATCHERY_RETURN_IF_ERROR(statement.Run(
      "reading the last worker", [&] { last = static_cast<uint64_t>(statement.NumberAt(0)); }));
  return last;
}

StatusOr<std::vector<v1::WorkerState>> Catalogue::Workers(uint32_t most) {
  std::vector<v1::WorkerState> workers;
  Statement statement(database_,
                      "SELECT body FROM (SELECT body, rowid FROM workers ORDER BY rowid DESC"
                      " LIMIT ?1) ORDER BY rowid");
  HATCHERY_RETURN_IF_ERROR(statement.Number(1, most).Run(
      "reading workers", [&] { workers.emplace_back().ParseFromString(statement.TextAt(0)); }));
  return workers;
}

}  // namespace hatchery::coordinator
