# Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
"""http_test.py BIN SOURCE: the page's HTTP, of a real training run: who is let in, what the feed says
and how much of it anyone can take up."""
import base64
import contextlib
import http.client
import json
import os
import secrets
import socket
import subprocess
import time

from page import BIN, PagedTraining, free_port, skip_without_page, wait_for

STREAMS = 64  # kStreams of services/coordinator/page_server.cc


def ask(page, path, method="GET", **headers):
    """(status, headers, body) of one request; a header's name has _ for -."""
    connection = http.client.HTTPConnection(page, timeout=10)
    connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, answer.headers, body


def one_line(text):
    return text.count("\n") == 1 and text.endswith("\n")


class Stream:
    """The feed, as a browser reads it."""

    def __init__(self, page, receive_buffer=None):
        host, port = page.split(":")
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(10)
        self.socket.connect((host, int(port)))
        self.socket.sendall(f"GET /api/feed HTTP/1.1\r\nHost: {page}\r\n\r\n".encode())

    def open(self):
        self.answer = http.client.HTTPResponse(self.socket)
        self.answer.begin()
        return self.answer.status

    def message(self):
        """The next one; comments are skipped."""
        while True:
            line = self.answer.readline().decode()
            assert line, "the stream ended"
            if line.startswith(":"):
                continue
            if line == "\n":
                continue
            assert line.startswith("data: ") and line.endswith("\n"), line[:100]
            assert self.answer.readline() == b"\n", "an event ends with an empty line"
            return json.loads(line[6:])

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)  # http.client's own reference would keep it open
        self.socket.close()


def opens(page):
    stream = Stream(page)
    with contextlib.closing(stream):
        return stream.open() == 200


def check_files(page):
    for path, kind in [("/", "text/html"), ("/page.js", "text/javascript"), ("/feed.js", "text/javascript"),
                       ("/page.css", "text/css"), ("/icon.svg", "image/svg+xml")]:
        status, headers, body = ask(page, path)
        assert status == 200 and headers["Content-Type"].startswith(kind) and body, path
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy, policy
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in headers
    status, _, body = ask(page, "/nothing<b>")
    assert status == 404 and one_line(body), body
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        status, _, body = ask(page, "/api/jobs/1", method)
        assert status == 405 and one_line(body), (method, status, body)


def check_hosts(page):
    port = page.split(":")[1]
    for host in (page, f"localhost:{port}", "LOCALHOST", "127.0.0.1", "10.1.2.3", "[::1]:80", "train.example",
                 f"Train.Example:{port}"):
        assert ask(page, "/", Host=host)[0] == 200, host
    for host in ("evil.example", f"evil.example:{port}", "localhost.evil.example", "1.2.3.4.evil.example", "", "127.1x"):
        status, _, body = ask(page, "/", Host=host)
        assert status == 403 and one_line(body) and "--http-name" in body, (host, status)


def check_feed(page):
    """The first message tells all, later ones what changed; steps come in order and without gaps."""
    stream = Stream(page)
    assert stream.open() == 200
    assert stream.answer.headers["Content-Type"] == "text/event-stream"
    whole = stream.message()
    assert whole["whole"] and whole["all_jobs"] == len(whole["jobs"]) and whole["workers"]["all"] == 2, whole
    [running] = [row for row in whole["jobs"] if row["state"]["state"] == "running"]
    assert running["state"]["name"] == "watched" and running["state"]["job"]["population"] == 80
    assert {row["state"]["name"] for row in whole["workers"]["shown"]} == {"worker-0", "worker-1"}
    assert any(event["kind"] == "worker_joined" for event in whole["events"]), whole["events"]
    steps, coarsest, shares, left = [], 1, [], None
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and (len(steps) < 5 or not shares or left is None):
        news = stream.message()
        assert "whole" not in news
        for curve in news.get("curves", []):
            assert curve["job_id"] == "1"
            # The newest step comes again when more is known of it: its held-out loss.
            steps += [step for step in curve["curve"]["step"] if step not in steps[-1:]]
            coarsest = max(coarsest, curve["curve"]["stride"])  # more than 1: a very fast machine
        shares = [row["share"] for row in news.get("workers", {}).get("shown", []) if row["share"] is not None]
        left = next((row["seconds_left"] for row in news.get("jobs", [])), left)
    assert len(steps) >= 5 and all(0 < b - a <= coarsest for a, b in zip(steps, steps[1:])), steps
    assert steps[0] < running["state"]["step"] + coarsest, "no step between the whole and the news is lost"
    assert abs(sum(shares) - 1) < 1e-6 and left > 0, (shares, left)
    stream.close()


def check_details(training):
    """Curves are what clients are told, texts are there, and bad questions get one line."""
    page = training.page

    def details(job="1"):
        return json.loads(ask(page, f"/api/jobs/{job}")[2])

    wait_for("text", lambda: len(details()["texts"]) > 1)
    of_page = details()
    steps = [text["step"] for text in of_page["texts"]]
    assert steps == sorted(set(steps)) and all(len(text["text"]) > 20 for text in of_page["texts"])
    assert any(event["kind"] == "submitted" for event in of_page["events"])
    curve = of_page["curve"]
    assert len(curve["step"]) == len(curve["train"]) == len(curve["tokens_per_second"]) <= 2001
    watching = subprocess.Popen([BIN / "hatchery", "watch", "1", "--from", "0", "--json", "--coordinator",
                                 training.coordinator], stdout=subprocess.PIPE, text=True)
    told = [json.loads(watching.stdout.readline()) for _ in range(6)]
    watching.kill()
    watching.wait()
    status, _, body = ask(page, "/api/jobs/1/curve?from=0&to=6")
    first = json.loads(body)
    assert status == 200 and first["step"] == [0, 1, 2, 3, 4, 5] and first["stride"] == 1
    assert first["train"] == [update["train_bits_per_byte"] for update in told]
    measured = {update["validation_step"]: update["validation_bits_per_byte"] for update in told}
    assert dict(zip(first["held_out_step"], first["held_out"])) == measured, (first, measured)
    part = json.loads(ask(page, "/api/jobs/1/curve?from=3&to=5")[2])
    assert part["step"] == [3, 4] and part["train"] == first["train"][3:5]
    for path, status in [("/api/jobs/1/curve?from=x", 400), ("/api/jobs/1/curve?to=-1", 400),
                         ("/api/jobs/1/curve?to=99999999999", 400), ("/api/jobs/99", 404),
                         ("/api/jobs/99/curve", 404), ("/api/jobs/../1", 404), ("/api/jobs/1x", 404)]:
        answered, _, body = ask(page, path)
        assert answered == status and one_line(body), (path, answered, body)


def resident_bytes(process):
    pages = int(open(f"/proc/{process.pid}/statm").read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def check_bounds(training):
    """Open pages, idle connections and browsers that stopped reading hold up nobody for long."""
    page = training.page
    streams = [Stream(page) for _ in range(STREAMS)]
    assert [stream.open() for stream in streams] == [200] * STREAMS
    status, _, body = ask(page, "/api/feed")
    assert status == 503 and one_line(body) and str(STREAMS) in body, (status, body)
    began = time.monotonic()
    for path in ("/", "/page.js", "/api/jobs/1") * 3:
        assert ask(page, path)[0] == 200
    assert time.monotonic() - began < 5, "with all streams open, pages must still be answered"
    for stream in streams:
        assert stream.message()["whole"]
        stream.close()
    wait_for("places given back", lambda: opens(page), 10)

    # Preconnects of browsers, or worse: connections that say nothing.
    idle = [socket.create_connection(page.split(":")) for _ in range(2 * STREAMS)]
    wait_for("an answer beside idle connections", lambda: ask(page, "/")[0] == 200, 20)
    for connection in idle:
        connection.close()

    # Browsers that stopped reading, of messages that no socket's buffer takes: they are cut off, and
    # meanwhile steps go on and memory stays.
    before = resident_bytes(training.coordinator_process)
    stuck = [Stream(page, receive_buffer=4096) for _ in range(STREAMS)]

    def step():
        return json.loads(ask(page, "/api/jobs/1")[2])["curve"]["step"][-1]

    reached = step()
    wait_for("a place of a stuck browser", lambda: opens(page), 40)
    wait_for("training to go on", lambda: step() > reached)
    grown = resident_bytes(training.coordinator_process) - before
    assert grown < 100 << 20, f"{grown} bytes more"
    for stream in stuck:
        stream.close()


def check_refusals(training):
    for flags, remedy in [(["--http", "0.0.0.0:1"], "--http-insecure"), (["--http", "example.org:80"], "--http-insecure"),
                          (["--http", "7080"], "HOST:PORT"), (["--http", "127.0.0.1:99999"], "65535"),
                          (["--http", training.page], "choose another"),
                          (["--http", "0.0.0.0:1", *training.tokens], "tokens would travel")]:
        command = [BIN / "hatchery-coordinator", "--listen", f"127.0.0.1:{free_port()}", "--data-dir",
                   training.directory / "refused", *flags]
        said = subprocess.run(command, text=True, capture_output=True, timeout=50)
        assert said.returncode == 1 and one_line(said.stderr) and remedy in said.stderr, said


def check_tokens(training):
    """Where clients need a token, the page wants one; a worker's will not do."""
    page = f"127.0.0.1:{free_port()}"
    training.start([BIN / "hatchery-coordinator", "--listen", f"127.0.0.1:{free_port()}", "--data-dir",
                    training.directory / "with-tokens", "--http", page, *training.tokens])

    def with_password(password, user="anyone"):
        code = base64.b64encode(f"{user}:{password}".encode()).decode()
        return ask(page, "/api/feed" if password is None else "/", Authorization=f"Basic {code}")[0]

    status, headers, body = wait_for("the page with tokens", lambda: ask(page, "/"))
    assert status == 401 and one_line(body) and headers["WWW-Authenticate"].startswith("Basic realm="), body
    assert ask(page, "/api/feed")[0] == 401 and ask(page, "/api/jobs/1")[0] == 401
    assert with_password(training.client_token) == 200 and with_password(training.client_token, "") == 200
    for password in (training.worker_token, "", training.client_token + "x", training.client_token[:-1], "x" * 5000):
        assert with_password(password) in (401, 400), password
    for header in (f"Bearer {training.client_token}", "Basic", "Basic !!!!", "Basic " + "A" * 4):
        assert ask(page, "/", Authorization=header)[0] == 401, header


def make_tokens(training):
    training.tokens = []
    for who in ("worker", "client"):
        token = secrets.token_hex(16)
        path = training.directory / f"{who}.token"
        path.touch(0o600)
        path.write_text(token + "\n")
        setattr(training, f"{who}_token", token)
        training.tokens += [f"--{who}-tokens", str(path)]


def submit_many(training):
    """Jobs that wait, with long names: the feed's first message then has 100 KB and more."""
    name = "waits " + "x" * 120
    for _ in range(60):
        training.run(["hatchery", "submit", "job.yaml", "--set", f"name={name}", "--set", "priority=-1",
                      "--coordinator", training.coordinator])


def main():
    skip_without_page()
    with PagedTraining("--http-name", "train.example") as training:
        try:
            make_tokens(training)
            wait_for("a step", lambda: json.loads(ask(training.page, "/api/jobs/1")[2])["curve"]["step"])
            check_files(training.page)
            check_hosts(training.page)
            check_feed(training.page)
            check_details(training)
            check_refusals(training)
            check_tokens(training)
            submit_many(training)
            check_bounds(training)
        except BaseException:
            print((training.directory / "log").read_text()[-4000:])
            raise


main()
