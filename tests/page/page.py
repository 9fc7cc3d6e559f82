# Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
"""A training run whose coordinator shows its page, for tests and pictures of it."""
import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "deploy"))

from training import BIN, SOURCE, Training, fetch, free_port, wait_for  # noqa: E402,F401


def skip_without_page():
    """Ends the test as skipped if the coordinator was built without npm."""
    if b"/page.js" not in (BIN / "hatchery-coordinator").read_bytes():
        print("skipped: the coordinator was built without its page, for want of npm; scripts/setup installs it")
        sys.exit(77)


class PagedTraining(Training):
    """`page`: the page's HOST:PORT."""

    def __init__(self, *coordinator_flags, **job):
        self.page = f"127.0.0.1:{free_port()}"
        super().__init__("--http", self.page, *coordinator_flags, **job)

    @property
    def url(self):
        return f"http://{self.page}"
