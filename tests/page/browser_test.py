# Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
"""browser_test.py BIN SOURCE: the page of a real training run as a person sees it, in Chromium."""
import os
import pathlib
import shutil
import subprocess
import sys

from page import BIN, PagedTraining, skip_without_page, wait_for, fetch

CHROMIUM = "/usr/bin/chromium"
PACKAGES = pathlib.Path(os.environ["HATCHERY_NPM_PACKAGES"])
HOSTILE = """<img src=x onerror="document.title='hacked'">"""


def main():
    skip_without_page()
    if not pathlib.Path(CHROMIUM).exists() or not shutil.which("node") or not (PACKAGES / "playwright-core").exists():
        print("skipped: Chromium, node or playwright-core is not there; scripts/setup installs the first two, "
              "and a build fetches the third")
        sys.exit(77)
    # Steps slow enough for a browser on the same two cores to draw them.
    with PagedTraining(population=4000) as training:
        wait_for("the page", lambda: fetch(training.url))
        training.start_worker(HOSTILE, "cache-hostile")
        training.run(["hatchery", "submit", "job.yaml", "--set", f"name={HOSTILE}", "--set", "priority=-1",
                      "--coordinator", training.coordinator])
        script = pathlib.Path(__file__).with_suffix(".mjs")
        browser = subprocess.Popen(["node", script, training.url, PACKAGES, CHROMIUM, HOSTILE],
                                   stdout=subprocess.PIPE, text=True)
        try:
            for line in browser.stdout:
                print(line, end="", flush=True)
                if line == "please stop the coordinator\n":
                    training.coordinator_process.terminate()
                    training.coordinator_process.wait()
                if line == "please start the coordinator\n":
                    training.start_coordinator()
            assert browser.wait() == 0
        except BaseException:
            print((training.directory / "log").read_text()[-4000:])
            raise
        finally:
            browser.kill()


main()
