// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/metrics.h"

#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <exception>
#include <filesystem>
#include <mutex>

#include "services/common/address.h"
#include "services/common/system.h"

namespace hatchery {
namespace {

const double program_start =
    std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

double OpenFiles() {
  std::error_code error;
  const auto all = std::filesystem::directory_iterator("/dev/fd", error);
  return static_cast<double>(std::distance(begin(all), end(all)));
}

// The names are those of Prometheus's own client libraries.
void WriteProcess(MetricsPage& page) {
  rusage use = {};
  if (getrusage(RUSAGE_SELF, &use) == 0)
    page.Counter("process_cpu_seconds_total", "Processor time used, user and system.",
                 Seconds(use.ru_utime) + Seconds(use.ru_stime));
  page.Gauge("process_start_time_seconds", "When the process started, since 1970-01-01 UTC.",
             program_start);
  if (const auto memory = OwnMemory()) {
    page.Gauge("process_virtual_memory_bytes", "Address space in use.",
               static_cast<double>(memory->address_space));
    page.Gauge("process_resident_memory_bytes", "Main memory in use.",
               static_cast<double>(memory->resident));
  }
  page.Gauge("process_open_fds", "Open files and sockets.", OpenFiles());
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
    page.Gauge("process_max_fds", "The most files and sockets that may be open.",
               static_cast<double>(limit.rlim_cur));
}

class Figures : public prometheus::Collectable {
 public:
  explicit Figures(MetricsServer::Writer write) : write_(std::move(write)) {}
  std::vector<prometheus::MetricFamily> Collect() const override {
    const std::lock_guard lock(mutex_);
    MetricsPage page;
    write_(page);
    WriteProcess(page);
    return page.Take();
  }

 private:
  mutable std::mutex mutex_;
  const MetricsServer::Writer write_;
};

}  // namespace

void AddMetricsOptions(CLI::App& app, MetricsOptions& options, const std::string& example) {
  app.add_option("--metrics", options.address,
                 "show figures to Prometheus on HOST:PORT, as in " + example);
  app.add_flag("--metrics-insecure", options.insecure,
               "let other machines read them: over plain HTTP, by anyone who gets there");
}

prometheus::ClientMetric& MetricsPage::Add(std::string_view name, std::string_view help,
                                           prometheus::MetricType type, const Labels& labels) {
  auto family = std::find_if(families_.begin(), families_.end(),
                             [&](const auto& other) { return other.name == name; });
  if (family == families_.end())
    family = families_.insert(families_.end(), {std::string(name), std::string(help), type, {}});
  prometheus::ClientMetric& metric = family->metric.emplace_back();
  for (const auto& [label, value] : labels) metric.label.push_back({std::string(label), value});
  return metric;
}

void MetricsPage::Counter(std::string_view name, std::string_view help, double value,
                          const Labels& labels) {
  Add(name, help, prometheus::MetricType::Counter, labels).counter.value = value;
}

void MetricsPage::Gauge(std::string_view name, std::string_view help, double value,
                        const Labels& labels) {
  Add(name, help, prometheus::MetricType::Gauge, labels).gauge.value = value;
}

void MetricsPage::Histogram(std::string_view name, std::string_view help, const Distribution& value,
                            const Labels& labels) {
  auto& histogram = Add(name, help, prometheus::MetricType::Histogram, labels).histogram;
  for (size_t i = 0; i < value.counts.size(); ++i) {
    histogram.sample_count += value.counts[i];
    const bool last = i == Distribution::kBounds.size();
    histogram.bucket.push_back(
        {histogram.sample_count,
         last ? std::numeric_limits<double>::infinity() : Distribution::kBounds[i]});
  }
  histogram.sample_sum = value.sum;
}

MetricsServer::MetricsServer(std::unique_ptr<prometheus::Exposer> exposer,
                             std::shared_ptr<prometheus::Collectable> figures)
    : figures_(std::move(figures)), exposer_(std::move(exposer)) {}

MetricsServer::~MetricsServer() = default;

StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(const MetricsOptions& options,
                                                              Writer write) {
  if (options.address.empty()) return std::unique_ptr<MetricsServer>();
  HATCHERY_RETURN_IF_ERROR(CheckAddress(options.address, "--metrics"));
  if (!IsLoopback(options.address) && !options.insecure)
    return FailedPrecondition("other machines reach " + options.address +
                              ", and anyone there could read the metrics; give --metrics "
                              "127.0.0.1" +
                              options.address.substr(options.address.rfind(':')) +
                              ", or accept it with --metrics-insecure");
  const auto figures = std::make_shared<Figures>(std::move(write));
  // The library wants numbers for hosts.
  const bool named = options.address.starts_with("localhost:");
  const std::string bind = (named ? "127.0.0.1" + options.address.substr(9) : options.address);
  try {
    auto exposer = std::make_unique<prometheus::Exposer>(bind);
    exposer->RegisterCollectable(figures);
    return std::unique_ptr<MetricsServer>(new MetricsServer(std::move(exposer), figures));
  } catch (const std::exception&) {
    return Unavailable("cannot serve metrics on " + options.address +
                       ": the port is in use or the address is not a numeric one of this machine; "
                       "choose another with --metrics HOST:PORT");
  }
}

}  // namespace hatchery
