#!/usr/bin/env python3
# Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
"""read_run_test.py HATCHERY: compares what read_run.py reads of runs with what `hatchery` says."""
import json, os, subprocess, sys, tempfile, unittest

HATCHERY = os.path.abspath(sys.argv.pop(1))
READER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "read_run.py")
JOB = """
name: tiny
model: {hidden: 13, layers: 1}
data: {file: count.bin}
population: 76
window: 8
steps: 9
held_out_streams: 8
validate_every: 2
checkpoint_every: 3
checkpoints_kept: 2
"""

def hatchery(*arguments):
    done = subprocess.run([HATCHERY, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

def read_run(directory):
    done = subprocess.run([sys.executable, READER, directory], capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr

def bits(sums):
    return -sums["score"] / 4096 / sums["tokens"]

class ReadRun(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        hatchery("data", "count", "--tokens", "20000", "--out", self.path("count.bin"))
        with open(self.path("job.yaml"), "w") as job:
            job.write(JOB)

    def path(self, name):
        return os.path.join(self.directory.name, name)

    def train(self, *sets):
        arguments = [x for field in sets for x in ("--set", field)]
        return hatchery("train", self.path("job.yaml"), "--out", self.path("run"), "--threads", "1",
                        "--json", *arguments)

    def compare(self, lines):
        run = read_run(self.path("run"))
        self.assertIsInstance(run, dict, run)
        journal, steps = run["journal"], run["journal"]["steps"]
        # A commit has the digest before it; train's lines the one after.
        digests = [step["digest"] for step in steps][1:] + [journal["closing"]["digest"]]
        self.assertEqual(digests, [line["digest"] for line in lines])
        self.assertEqual(journal["header"]["initial_digest"], steps[0]["digest"])
        self.assertEqual((journal["header"]["job"]["name"], len(steps)), ("tiny", 9))
        for step, line in zip(steps, lines):
            self.assertAlmostEqual(step["nonzero"] / 38, line["fitness_nonzero"])
            self.assertAlmostEqual(bits(step), line["train_bits_per_byte"])
            self.assertEqual(step["held_out"] is not None, step["step"] % 2 == 0)
        for step, line in zip(steps[1:], lines):
            if step["held_out"]:
                self.assertAlmostEqual(bits(step["held_out"]), line["validation_bits_per_byte"])
        final = bits(journal["closing"]["held_out"])
        self.assertAlmostEqual(final, lines[-1]["validation_bits_per_byte"])
        (replayed,) = hatchery("replay", self.path("run"), "--json")
        self.assertEqual(replayed["digest"], journal["closing"]["digest"])
        self.compare_checkpoints(run["checkpoints"], digests)

    def compare_checkpoints(self, checkpoints, digests):
        self.assertEqual([c["step"] for c in checkpoints], [6, 9])
        for stored in checkpoints:
            self.assertEqual(stored["digest"], digests[stored["step"] - 1])
        # The same tensors as those that a replay makes.
        os.makedirs(self.path("again/checkpoints"))
        again = self.path("again/checkpoints/step-0000000006.safetensors")
        hatchery("replay", self.path("run"), "--at", "6", "--out", again)
        os.link(self.path("run/journal.hatchery"), self.path("again/journal.hatchery"))
        self.assertEqual(read_run(self.path("again"))["checkpoints"][0], checkpoints[0])
        shapes = {tensor["name"]: tensor["shape"] for tensor in checkpoints[0]["tensors"]}
        self.assertEqual(shapes["embedding"], [256, 13])
        self.assertEqual(shapes["layers.0.w1"], [52, 13])
        self.assertEqual(shapes["layers.0.bf"], [13])

    def test_ternary(self):
        self.compare(self.train())

    def test_normalized(self):
        self.compare(self.train("fitness=normalized", "noise.rank=2"))

    def test_damage_is_refused(self):
        self.train()
        for name in ("journal.hatchery", "checkpoints/step-0000000009.safetensors"):
            path = os.path.join(self.path("run"), name)
            with open(path, "rb") as file:
                good = file.read()
            for place in (3, len(good) // 2, len(good) - 1):
                with open(path, "wb") as file:
                    file.write(good[:place] + bytes([good[place] ^ 16]) + good[place + 1:])
                self.assertIsInstance(read_run(self.path("run")), str, (name, place))
            with open(path, "wb") as file:
                file.write(good)

if __name__ == "__main__":
    unittest.main(argv=sys.argv)
