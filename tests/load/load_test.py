#!/usr/bin/env python3
# Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
"""load_test.py HATCHERY_LOAD: short loads; their books must balance. How fast it goes is not judged."""
import json, subprocess, sys, unittest

LOAD = sys.argv.pop(1)

def load(*arguments):
    done = subprocess.run([LOAD, "--json", "--seconds", "240", *arguments], capture_output=True,
                          text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, (done.stderr, lines[-1:])
    return lines[-1]

class Load(unittest.TestCase):
    def check(self, summary, cut_off):
        self.assertEqual(summary["verdict"], "nothing lost, nothing wrong")
        self.assertEqual((summary["dropped"], summary["cut_off"]), (0, cut_off))
        self.assertGreater(summary["results"], 0)
        again = summary["pairs_repeated"]
        self.assertEqual(summary["pairs_counted"], summary["pairs_sent"] - again)

    def test_hundreds_of_workers(self):
        summary = load("--streams", "300", "--commits", "12")
        self.assertGreaterEqual(summary["commits"], 12)
        self.assertGreater(summary["shards_audited"], 0)
        self.check(summary, cut_off=0)

    def test_who_reads_nothing_is_cut_off_and_the_others_go_on(self):
        # Commits of 800 KB: ten of them are more than the coordinator keeps for one. A slow machine
        # takes longer over them than anyone may stall, so that limit is out of the way.
        summary = load("--streams", "40", "--stuck", "3", "--population", "8000000",
                       "--rate", "1000", "--commits", "40", "--stalled-seconds", "600")
        self.assertGreaterEqual(summary["commits"], 40)
        self.assertIn("reads too slowly", summary["stuck_end"])
        self.check(summary, cut_off=3)

if __name__ == "__main__":
    unittest.main(argv=sys.argv)
