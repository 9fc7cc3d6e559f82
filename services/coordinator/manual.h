// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include "services/common/self_description.h"

namespace hatchery::coordinator {

// What hatchery-coordinator.1 says besides the options.
inline Manual TheManual() {
  Manual manual;
  manual.description =
      R"(Hands shards of a population to workers, makes commits of their scores, and keeps the journals of
the runs. It computes no training step itself and needs no GPU. Killed at any moment, it goes on from
its journals when it is started again.

With --http it shows a page for browsers: jobs, curves, workers, events and what models write.

It listens on this machine alone unless it is given TLS or --insecure. SIGINT and SIGTERM end it
cleanly.)";
  manual.sections = {
      {"LOGS",
       R"(One line an event on stderr: time (UTC), level, event, then job=, step= and worker= where the event
has them, then a text for people. With --log-format json, the same as one object a line with the
fields time, level, event, job, step, worker and message. Text of peers is escaped in both. If
NO_COLOR is set, or stderr is no terminal, nothing is coloured.)"},
      {"FILES",
       R"(The directory of --data-dir has jobs/ID/journal.hatchery and jobs/ID/checkpoints for each job, the
datasets in files, by their SHA-256, and catalogue.sqlite, an index of jobs, workers and events.
hatchery fsck checks it, hatchery backup copies it, both while it is in use.)"},
      {"EXIT STATUS", "0 after SIGINT or SIGTERM, 1 if it cannot run."},
      {"EXAMPLES",
       R"(On one machine:

  hatchery-coordinator --data-dir /var/lib/hatchery

For other machines, with what scripts/dev-certs makes:

  hatchery-coordinator --listen 0.0.0.0:7070 --data-dir /var/lib/hatchery \
    --tls-cert certs/coordinator.pem --tls-key certs/coordinator.key \
    --worker-tokens certs/worker.token --client-tokens certs/client.token)"},
      {"SEE ALSO", "hatchery(1), hatchery-worker(1)"}};
  return manual;
}

}  // namespace hatchery::coordinator
