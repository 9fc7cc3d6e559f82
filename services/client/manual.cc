// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/client/manual.h"

namespace hatchery {

Manual ClientManual() {
  Manual manual;
  manual.description =
      R"(Trains neural networks by evolution strategies, in this process (train) or by giving jobs to a
coordinator (submit), which hands them out to workers. All arithmetic is exact: the same job gives
the same bytes on any machine, with any number of workers, whichever of them die. The journal of a
run proves it: replay rebuilds the weights from it alone.

Commands that print data take --json and then print one object a line. On a terminal, watch and top
show a live view; Ctrl-C or q ends it and leaves the job alone. Elsewhere watch prints a line a step
and top prints what there is, once.)";
  manual.sections = {
      {"ENVIRONMENT VARIABLES OF THE TERMINAL",
       R"(If NO_COLOR is set to anything, nothing is coloured. Bars and curves are drawn in UTF-8 if LC_ALL,
LC_CTYPE or LANG says so, else in ASCII. If TERM is dumb, there is no live view.

A token for the coordinator can be in HATCHERY_TOKEN instead of a file.)"},
      {"FILES",
       R"(A run is a directory: journal.hatchery is the run itself, checkpoints/*.safetensors are the weights
after some of its steps, initial.safetensors, if present, those that it started from.)"},
      {"EXIT STATUS",
       R"(0 if what was asked for was done, 1 if not, with one line on stderr that says what is wrong and
what to do. 2 if the command line cannot be understood. 75 if it was asked to stop (SIGINT, SIGTERM)
before it was done: train goes on where it was when run again. doctor exits with 0 if
no check is bad, health if the coordinator serves.)"},
      {"EXAMPLES",
       R"(Train here, prove the run, and let the model write:

  hatchery data kjv --out kjv.txt
  hatchery train examples/kjv-small.yaml --data kjv.txt --out runs/kjv
  hatchery replay runs/kjv --verify
  hatchery sample runs/kjv --prompt "In the beginning " --bytes 200

Give the same job to a coordinator and follow it:

  hatchery submit examples/kjv-small.yaml --data kjv.txt --watch)"},
      {"SEE ALSO", "hatchery-coordinator(1), hatchery-worker(1)"}};
  return manual;
}

}  // namespace hatchery
