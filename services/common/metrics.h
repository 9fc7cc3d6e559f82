// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// How coordinator and worker show their figures to Prometheus: on /metrics of an address of their
// own, read-only, over plain HTTP. Figures are gathered when somebody asks, not when they change.
#pragma once

#include <prometheus/metric_family.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/status.h"
#include "services/common/distribution.h"

namespace CLI {
class App;
}
namespace prometheus {
class Collectable;
class Exposer;
}  // namespace prometheus

namespace hatchery {

struct MetricsOptions {
  std::string address;    // HOST:PORT; empty: not served
  bool insecure = false;  // let other machines read them
};
// `example`: the address that the documents use for this program.
void AddMetricsOptions(CLI::App& app, MetricsOptions& options, const std::string& example);

// What one scrape shows. Calls with one name add to one metric; its help is that of the first.
class MetricsPage {
 public:
  using Labels = std::vector<std::pair<std::string_view, std::string>>;

  void Counter(std::string_view name, std::string_view help, double value,
               const Labels& labels = {});
  void Gauge(std::string_view name, std::string_view help, double value, const Labels& labels = {});
  void Histogram(std::string_view name, std::string_view help, const Distribution& value,
                 const Labels& labels = {});

  std::vector<prometheus::MetricFamily> Take() { return std::move(families_); }

 private:
  prometheus::ClientMetric& Add(std::string_view name, std::string_view help,
                                prometheus::MetricType type, const Labels& labels);
  std::vector<prometheus::MetricFamily> families_;
};

// Serves until destroyed.
class MetricsServer {
 public:
  // Called by the server's threads, one at a time.
  using Writer = std::function<void(MetricsPage&)>;

  // Null if no address is given. Refuses an address that other machines reach unless `insecure`.
  // Whatever `write` uses must outlive the server. The process's own figures are added.
  static StatusOr<std::unique_ptr<MetricsServer>> Start(const MetricsOptions& options,
                                                        Writer write);
  ~MetricsServer();

 private:
  MetricsServer(std::unique_ptr<prometheus::Exposer> exposer,
                std::shared_ptr<prometheus::Collectable> figures);
  std::shared_ptr<prometheus::Collectable> figures_;
  std::unique_ptr<prometheus::Exposer> exposer_;
};

}  // namespace hatchery
