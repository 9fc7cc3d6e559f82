#!/usr/bin/env python3
# Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
"""report_test.py HATCHERY: `hatchery report`, `plot` and `export-metrics` as a reader of their files
sees them: a browser's parser, an XML parser, and our own reading of TensorBoard's format."""
import base64
import csv
import hashlib
import html.parser
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import xml.etree.ElementTree as ET
import zlib

HATCHERY = ""
NAME = "<script>alert(1)</script>&\"'"
PROMPT = "</pre><script>alert(2)</script>"
STEPS = 9
SVG = "{http://www.w3.org/2000/svg}"


def run(*arguments):
    return subprocess.run([HATCHERY, *arguments], capture_output=True, timeout=120)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def tfrecords(data):
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        assert struct.unpack_from("<I", data, at + 8)[0] == masked(data[at:at + 8])
        payload = data[at + 12:at + 12 + length]
        assert len(payload) == length
        assert struct.unpack_from("<I", data, at + 12 + length)[0] == masked(payload)
        yield payload
        at += 16 + length


def read_png(data):
    """Width, height and rows of (red, green, blue) of a PNG of 8-bit colours."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height, depth, kind = struct.unpack_from(">IIBB", data, 16)
    assert (depth, kind) == (8, 2)
    at, packed = 8, b""
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        if data[at + 4:at + 8] == b"IDAT":
            packed += data[at + 8:at + 8 + size]
        at += 12 + size
    raw, stride = zlib.decompress(packed), 3 * width
    rows, above = [], bytearray(stride)
    for start in range(0, len(raw), stride + 1):
        method, row = raw[start], bytearray(raw[start + 1:start + 1 + stride])
        for i in range(stride):
            left, up = row[i - 3] if i >= 3 else 0, above[i]
            corner = above[i - 3] if i >= 3 else 0
            if method == 4:  # of the three, the nearest to left + up - corner
                guess = left + up - corner
                nearest = min((left, up, corner), key=lambda value: abs(guess - value))
            row[i] = (row[i] + (0, left, up, (left + up) // 2, nearest if method == 4 else 0)[method]) % 256
        rows.append([tuple(row[i:i + 3]) for i in range(0, stride, 3)])
        above = row
    return width, height, rows


def protobuf(data):
    """Fields of a message as (number, value); value is an int, a float or bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            value = varint()
        elif key & 7 == 1:
            (value,) = struct.unpack_from("<d", data, at)
            at += 8
        elif key & 7 == 5:
            (value,) = struct.unpack_from("<f", data, at)
            at += 4
        else:
            assert key & 7 == 2
            length = varint()
            value = data[at:at + length]
            at += length
        yield key >> 3, value


def scalars(path):
    """{(step, tag): value} of an event file, and the wall times in order."""
    with open(path, "rb") as file:
        records = list(tfrecords(file.read()))
    assert dict(protobuf(records[0]))[3] == b"brain.Event:2"
    values, times = {}, []
    for record in records[1:]:
        event = dict(protobuf(record))
        times.append(event.get(1, 0))
        for number, value in protobuf(event[5]):
            assert number == 1
            scalar = dict(protobuf(value))
            values[event.get(2, 0), scalar[1].decode()] = scalar.get(2, 0.0)
    return values, times


class Page(html.parser.HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.text, self.scripts, self.styles = [], {}, [], []
        self.open = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        for tag in set(self.open):
            self.text.setdefault(tag, []).append(data)
        if self.open and self.open[-1] in ("script", "style"):
            (self.scripts if self.open[-1] == "script" else self.styles).append(data)


def shown(raw):
    """How a page shows ASCII bytes and those that are none."""
    return "".join(chr(b) if 0x20 <= b < 0x7F or b in (9, 10) else "\\x%02x" % b for b in raw)


class Report(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.data = cls.path("count.bin")
        assert run("data", "count", "--vocab", "16", "--tokens", "20000", "--out",
                   cls.data).returncode == 0
        with open(cls.path("job.yaml"), "w", encoding="utf-8") as file:
            file.write("name: %s\nmodel: {hidden: 16, layers: 2}\npopulation: 64\nwindow: 8\n"
                       "steps: %d\nheld_out_streams: 8\nvalidate_every: 2\n"
                       "data:\n  file: count.bin\n" % (json.dumps(NAME), STEPS))
        cls.lines = cls.train("run")

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    @classmethod
    def path(cls, *names):
        return os.path.join(cls.temporary.name, *names)

    @classmethod
    def train(cls, name, *more):
        ran = run("train", cls.path("job.yaml"), "--threads", "1", "--json", "--out",
                  cls.path(name), *more)
        assert ran.returncode == 0, ran.stderr
        return [json.loads(line) for line in ran.stdout.splitlines()]

    def ok(self, *arguments):
        ran = run(*arguments)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        return ran.stdout

    def refused(self, parts, *arguments):
        ran = run(*arguments)
        self.assertGreater(ran.returncode, 0)
        self.assertEqual(ran.stdout, b"")
        self.assertEqual(ran.stderr.count(b"\n"), 1, ran.stderr)
        for part in parts:
            self.assertIn(part, ran.stderr.decode())

    def read(self, *names):
        with open(self.path(*names), "rb") as file:
            return file.read()

    def page(self, *more):
        self.ok("report", self.path("run"), "--threads", "1", "--out", self.path("run.html"), *more)
        text = self.read("run.html").decode()
        return text, Page(text)

    def test_page_is_one_file_and_runs_nothing_but_its_own_script(self):
        text, page = self.page("--prompt", PROMPT)
        policies = [a["content"] for t, a in page.tags
                    if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"]
        self.assertEqual(len(policies), 1)
        self.assertIn("default-src 'none'", policies[0])
        self.assertNotIn("unsafe", policies[0])
        for source in (page.scripts, page.styles):
            self.assertEqual(len(source), 1)
            digest = base64.b64encode(hashlib.sha256(source[0].encode()).digest()).decode()
            self.assertIn("'sha256-%s'" % digest, policies[0])
        for tag, attributes in page.tags:
            self.assertNotIn(tag, ("link", "img", "iframe", "object", "base"))
            for key, value in attributes.items():
                self.assertFalse(key.startswith("on") or key in ("style", "src"), (tag, key))
                if key == "href":
                    self.assertTrue(value.startswith("#"), value)
        self.assertNotIn("<script>alert", text)
        self.assertEqual("".join(page.text["h1"]), NAME)
        self.assertTrue(all(sample.startswith(PROMPT) or sample == PROMPT
                            for sample in page.text["b"]))

    def test_page_says_what_the_run_was(self):
        text, page = self.page("--samples", "4", "--bytes", "60", "--temperature", "3")
        digest = self.lines[-1]["digest"]
        self.assertIn(digest, text)
        for line in self.lines:
            self.assertIn(line["digest"], text)
        self.assertIn("gave the same digest at each of %d places" % (STEPS + 1), text)
        self.assertIn("%.4f" % self.lines[-1]["validation_bits_per_byte"], text)
        self.assertEqual(len(page.text["pre"]), 4)
        self.assertEqual(text.count('class="chart"'), 6 if "Throughput" in text else 5)
        for title in ("Loss", "Held-out accuracy", "Update rate by layer", "Saturation by layer"):
            self.assertIn("<h3>%s</h3>" % title, text)
        for word in ("layers.1.w2", "noise.sigma_shift", "held_out_streams", "population"):
            self.assertIn(word, text)
        sample = self.ok("sample", self.path("run"), "--bytes", "60", "--temperature", "3",
                         "--threads", "1")
        self.assertEqual(page.text["pre"][-1], shown(sample[:-1]))
        again = self.page("--samples", "4", "--bytes", "60", "--temperature", "3")[0]
        self.assertEqual(again, text)

    def test_page_without_a_replay_says_so(self):
        text, page = self.page("--no-replay")
        self.assertIn("which --no-replay skipped", text)
        self.assertIn("nothing was replayed", text)
        self.assertNotIn("pre", page.text)
        self.assertNotIn("by layer</h3>", text)
        self.assertIn(self.lines[-1]["digest"], text)

    def test_run_that_is_not_finished(self):
        journal = self.read("run", "journal.hatchery")
        os.makedirs(self.path("torn"))
        with open(self.path("torn", "journal.hatchery"), "wb") as file:
            file.write(journal[:-300])
        self.ok("report", self.path("torn"), "--out", self.path("torn.html"))
        text = self.read("torn.html").decode()
        self.assertIn("of %d, not finished" % STEPS, text)
        self.assertIn("incomplete record", text)

    def export(self, name="run"):
        self.ok("export-metrics", self.path(name), "--threads", "1", "--csv",
                self.path(name + ".csv"), "--tensorboard", self.path("logs", name))
        with open(self.path(name + ".csv"), newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def test_csv_is_what_training_said(self):
        rows = self.export()
        self.assertEqual([int(row["step"]) for row in rows], list(range(STEPS + 1)))
        self.assertEqual([float(row["tokens"]) for row in rows],
                         [64.0 * 8 * step for step in range(STEPS + 1)])
        for row, line in zip(rows, self.lines):  # a line is of the step that follows the row
            self.assertAlmostEqual(float(row["train_bits_per_byte"]), line["train_bits_per_byte"])
            self.assertAlmostEqual(float(row["update_rate"]), line["update_rate"])
            self.assertAlmostEqual(float(row["fitness_nonzero"]), line["fitness_nonzero"])
        for row, line in zip(rows[1:], self.lines):
            self.assertEqual(row["digest"], line["digest"])
            self.assertEqual(row["held_out_bits_per_byte"] != "",
                             int(row["step"]) % 2 == 0 or int(row["step"]) == STEPS)
            if row["held_out_bits_per_byte"]:
                self.assertAlmostEqual(float(row["held_out_bits_per_byte"]),
                                       line["validation_bits_per_byte"])
        self.assertEqual(rows[-1]["train_bits_per_byte"], "")
        self.assertEqual(rows[-1]["update_rate.layers.0"], "")
        # Weighted by size, the layers come to the whole.
        sizes = {"embedding": 4096, "layers.0": 3136, "layers.1": 3136, "head": 4112}
        for row in rows[:-1]:
            moved = sum(float(row["update_rate." + k]) * n for k, n in sizes.items())
            self.assertAlmostEqual(moved / sum(sizes.values()), float(row["update_rate"]))

    def test_saturation_is_that_of_the_checkpoint(self):
        row = self.export()[-1]
        raw = self.read("run", "checkpoints", "step-%010d.safetensors" % STEPS)
        (length,) = struct.unpack_from("<Q", raw)
        for part in ("embedding", "layers.0", "layers.1", "head"):
            values = b""
            for name, entry in json.loads(raw[8:8 + length]).items():
                if name == part or name.startswith(part + ".") or \
                        (part, name) == ("head", "norm_out"):
                    begin, end = entry["data_offsets"]
                    values += raw[8 + length + begin:8 + length + end]
            saturated = sum(v in (127, 256 - 127) for v in values)
            self.assertAlmostEqual(float(row["saturation." + part]), saturated / len(values))

    def test_event_files_hold_what_the_csv_does(self):
        rows = self.export()
        (name,) = os.listdir(self.path("logs", "run"))
        self.assertRegex(name, r"^events\.out\.tfevents\.\d{10}\.hatchery$")
        values, times = scalars(self.path("logs", "run", name))
        self.assertEqual(times, sorted(times))
        columns = {"loss/train": "train_bits_per_byte", "loss/held_out": "held_out_bits_per_byte",
                   "loss/held_out_coarse": "held_out_coarse_bits_per_byte",
                   "accuracy/held_out": "held_out_accuracy", "schedule/alpha": "alpha",
                   "fitness/nonzero": "fitness_nonzero", "update_rate/all": "update_rate",
                   "throughput/tokens_per_second": "tokens_per_second"}
        for part in ("embedding", "layers.0", "layers.1", "head"):
            for kind in ("update_rate", "saturation"):
                columns[kind + "/" + part] = kind + "." + part
        expected = {(int(row["step"]), tag): float(row[column])
                    for row in rows for tag, column in columns.items() if row[column] != ""}
        self.assertEqual(set(values), set(expected))
        for key, value in expected.items():
            self.assertAlmostEqual(values[key], value, delta=1e-6 * max(1, abs(value)))
        self.export()  # replaces
        self.assertEqual(os.listdir(self.path("logs", "run")), [name])

    def test_time_is_noted_and_pauses_are_left_out(self):
        # Stopped once it has noted the time twice: at the start, and about a second later.
        journal = self.path("long", "journal.hatchery")
        with subprocess.Popen([HATCHERY, "train", self.path("job.yaml"), "--threads", "1", "--out",
                               self.path("long"), "--set", "steps=1000000"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as training:
            for _ in range(1000):
                time.sleep(0.1)
                if os.path.exists(journal) and self.read("long", "journal.hatchery").count(b"\x04time"):
                    break
            training.terminate()
            training.wait(timeout=60)
        self.ok("export-metrics", self.path("long"), "--no-replay", "--csv", self.path("long.csv"))
        with open(self.path("long.csv"), newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        seconds = [float(row["seconds"]) for row in rows if row["seconds"]]
        self.assertGreater(len(seconds), 1)
        self.assertEqual(seconds, sorted(seconds))
        self.assertEqual(seconds[0], 0)
        self.assertTrue(any(row["tokens_per_second"] for row in rows))
        self.ok("plot", self.path("long"), "--x", "time", "--metric", "tokens-per-second", "--out",
                self.path("long.svg"))

    def test_plot_draws_what_the_csv_says(self):
        self.train("other", "--set", "noise.seed=7")
        for metric, column, factor in (("train", "train_bits_per_byte", 1),
                                       ("held-out", "held_out_bits_per_byte", 1),
                                       ("update-rate", "update_rate", 100)):
            self.ok("plot", self.path("run"), self.path("other"), "--metric", metric, "--x",
                    "tokens", "--out", self.path("plot.svg"))
            root = ET.fromstring(self.read("plot.svg"))
            plot = root.find(SVG + "svg")
            width, height = float(plot.get("width")), float(plot.get("height"))
            left, right, low, high = map(float, root.get("data-domain").split())
            lines = [e.get("points") for e in root.iter(SVG + "polyline")]
            self.assertEqual(len(lines), 2)
            for line, name in zip(lines, ("run", "other")):
                drawn = [tuple(map(float, pair.split(","))) for pair in line.split()]
                rows = [row for row in self.export(name) if row[column] != ""]
                self.assertEqual(len(drawn), len(rows))
                for (x, y), row in zip(drawn, rows):
                    tokens = left + x / width * (right - left)
                    value = high - y / height * (high - low)
                    self.assertAlmostEqual(tokens, float(row["tokens"]),
                                           delta=1e-4 * (right - left))
                    self.assertAlmostEqual(value, factor * float(row[column]),
                                           delta=1e-4 * (high - low))
            texts = ["".join(e.itertext()) for e in root.iter(SVG + "text")]
            self.assertIn("%s (%s)" % (NAME, self.path("other")), texts)
            self.assertFalse(list(root.iter(SVG + "script")))

    def test_png(self):
        ran = run("plot", self.path("run"), "--out", self.path("plot.png"))
        if ran.returncode == 0:
            width, height, pixels = read_png(self.read("plot.png"))
            self.assertEqual(width, 1600)
            # In each column of the plot, the first line's blue, thin, and where the SVG says it is.
            self.ok("plot", self.path("run"), "--out", self.path("plot.svg"))
            root = ET.fromstring(self.read("plot.svg"))
            plot = root.find(SVG + "svg")
            x0, y0 = float(plot.get("x")), float(plot.get("y"))
            points = [tuple(map(float, pair.split(",")))
                      for pair in next(root.iter(SVG + "polyline")).get("points").split()]
            blue = lambda rgb: all(abs(a - b) < 40 for a, b in zip(rgb, (0x00, 0x72, 0xb2)))
            checked = 0
            for (x1, y1), (x2, y2) in zip(points, points[1:]):
                x, y = 2 * (x0 + (x1 + x2) / 2), 2 * (y0 + (y1 + y2) / 2)
                column = [row for row in range(round(2 * y0), round(2 * y0) + 760)
                          if blue(pixels[row][round(x)])]
                self.assertTrue(column, "no line at x = %g" % x)
                rise = 2 + abs(y2 - y1) / max(x2 - x1, 1e-9)  # of a steep line, within a column
                self.assertLess(max(column) - min(column), 8 + 4 * rise)
                self.assertLess(min(abs(row - y) for row in column), 4 + 2 * rise)
                checked += 1
            self.assertGreater(checked, 3)
        else:
            self.assertIn(b"this build writes no PNG", ran.stderr)

    def test_bad_input(self):
        os.makedirs(self.path("empty"), exist_ok=True)
        out = self.path("x.html")
        for name in ("empty", "missing"):
            self.refused([self.path(name), "holds no journal"], "report", self.path(name), "--out", out)
        damaged = bytearray(self.read("run", "journal.hatchery"))
        damaged[len(damaged) // 2] ^= 1
        os.makedirs(self.path("damaged"), exist_ok=True)
        with open(self.path("damaged", "journal.hatchery"), "wb") as file:
            file.write(damaged)
        for command in (["report", "--out", out], ["plot", "--out", self.path("x.svg")],
                        ["export-metrics", "--csv", self.path("x.csv")]):
            self.refused(["is damaged", "hatchery fsck"], command[0], self.path("damaged"),
                         *command[1:])
        nowhere = self.path("no", "such", "directory", "x.html")
        self.refused([nowhere], "report", self.path("run"), "--no-replay", "--out", nowhere)
        journal = self.path("run", "journal.hatchery")
        self.refused(["must end with .html"], "report", self.path("run"), "--out", journal)
        self.refused([".svg or .png"], "plot", self.path("run"), "--out", journal)
        self.refused([".csv"], "export-metrics", self.path("run"), "--csv", journal)
        self.refused(["--csv", "--tensorboard"], "export-metrics", self.path("run"))
        self.refused(["--metric", "colour", "held-out"], "plot", self.path("run"), "--metric",
                     "colour", "--out", self.path("x.svg"))
        self.refused(["--x", "weeks"], "plot", self.path("run"), "--x", "weeks", "--out",
                     self.path("x.svg"))
        self.refused(["--samples", "-1"], "report", self.path("run"), "--samples", "-1", "--out", out)
        self.train("silent", "--set", "validate_every=0", "--set", "held_out_streams=8")
        self.ok("plot", self.path("silent"), "--out", self.path("x.svg"))  # measured at the end

    def test_weights_that_do_not_follow(self):
        self.train("first")
        self.train("second", "--init-from", self.path("first"))
        self.ok("report", self.path("second"), "--out", self.path("second.html"))
        initial = self.path("second", "initial.safetensors")
        os.remove(initial)
        self.refused(["initial.safetensors"], "report", self.path("second"), "--out",
                     self.path("second.html"))


if __name__ == "__main__":
    HATCHERY = sys.argv.pop(1)
    unittest.main()
