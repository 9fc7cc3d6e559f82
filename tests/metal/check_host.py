#!/usr/bin/env python3
# Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
"""check_host.py CLANG ROOT: metal_device.mm, type-checked against tests/metal/stubs; and that the
check would see what is wrong with it: each mistake below, made in a copy, must be refused."""
import os
import re
import subprocess
import sys
import tempfile

# What is written, what is written instead, what clang must say.
MISTAKES = [
    ("[commands commit];", "[commands comit];", "comit"),
    ("[queue_ commandBuffer]", "[device_ commandBuffer]", "commandBuffer"),
    ("offset:bound.offset", "offset:bound.buffer", "cannot initialize"),
    ("atIndex:index];", "atIndex:queue_];", "cannot initialize"),
    ("options:MTLResourceStorageModeShared", "options:1", "cannot initialize"),
    ("error:&error];\n  // Warnings", "error:error];\n  // Warnings", "error"),
    ("MTLSizeMake(kThreads, 1, 1)", "kThreads", "no viable|cannot|incompatible"),
    ("buffer_.contents", "buffer_.content", "content"),
    ("Status MetalDevice::Run(std::span<const Batch> batches)",
     "Status MetalDevice::Run(std::span<Batch> batches)", "does not match"),
]


def compile_text(clang, root, text):
    stubs = os.path.join(root, "tests/metal/stubs")
    with tempfile.NamedTemporaryFile("w", suffix=".mm") as source:
        source.write(text)
        source.flush()
        return subprocess.run(
            [clang, "-fsyntax-only", "-x", "objective-c++", "-std=c++20", "-fobjc-arc",
             "-fobjc-runtime=macosx-13.0", "-fblocks", "-Wall", "-Wextra", "-Wshadow", "-Werror",
             "-I" + root, "-I" + stubs, source.name], capture_output=True, text=True)


def main():
    clang, root = sys.argv[1:]
    with open(os.path.join(root, "metal/metal_device.mm")) as file:
        text = file.read()
    result = compile_text(clang, root, text)
    print(result.stderr, end="")
    wrong = result.returncode != 0
    for right, instead, said in MISTAKES:
        assert right in text, f"nothing to spoil: {right}"
        spoilt = compile_text(clang, root, text.replace(right, instead, 1))
        if spoilt.returncode == 0 or not re.search(said, spoilt.stderr):
            print(f"not seen: {instead}\n{spoilt.stderr}")
            wrong = True
    print(f"{len(MISTAKES)} mistakes tried")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
