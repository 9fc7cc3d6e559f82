#!/usr/bin/env python3
# Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
"""check_host.py CLANG ROOT: the files that are compiled on Macs alone, type-checked against
tests/metal/stubs; and that the check would see what is wrong with them: each mistake below, made in a
copy, must be refused."""
import os
import re
import subprocess
import sys
import tempfile

# Of each file: what is written, what is written instead, what clang must say.
MISTAKES = {
    "metal/metal_device.mm": [
        ("[commands commit];", "[commands comit];", "comit"),
        ("[queue_ commandBuffer]", "[device_ commandBuffer]", "commandBuffer"),
        ("offset:bound.offset", "offset:bound.buffer", "cannot initialize"),
        ("atIndex:index];", "atIndex:queue_];", "cannot initialize"),
        ("options:MTLResourceStorageModeShared", "options:1", "cannot initialize"),
        ("[k].threadExecutionWidth", "[k].threadWidth", "threadWidth"),
        ("error:&error];\n  // Warnings", "error:error];\n  // Warnings", "error"),
        ("MTLSizeMake(kThreads, 1, 1)", "kThreads", "no viable|cannot|incompatible"),
        ("buffer_.contents", "buffer_.content", "content"),
        ("Status MetalDevice::Run(std::span<const Batch> batches)",
         "Status MetalDevice::Run(std::span<Batch> batches)", "does not match"),
    ],
    "services/common/system_macos.cc": [
        ("host_statistics64(host,", "host_statistics64(&host,", "no matching function"),
        ("pages.purgeable_count", "pages.purgable_count", "purgable_count"),
        ("info.resident_size", "info.residents", "residents"),
        ("std::optional<MemoryUse> OwnMemory()", "std::optional<MemoryUse> Own()", "prototype"),
        ("PRIO_DARWIN_THREAD, 0", "PRIO_DARWIN_THREAD", "no matching function"),
        ("&size, nullptr, 0)", "&size, nullptr)", "no matching function"),
    ],
}


def compile_text(clang, root, name, text):
    stubs = os.path.join(root, "tests/metal/stubs")
    flags = ["-x", "c++"]
    if name.endswith(".mm"):
        flags = ["-x", "objective-c++", "-fobjc-arc", "-fobjc-runtime=macosx-13.0", "-fblocks"]
    with tempfile.NamedTemporaryFile("w") as source:
        source.write(text)
        source.flush()
        return subprocess.run(
            [clang, "-fsyntax-only", *flags, "-std=c++20", "-Wall", "-Wextra", "-Wshadow",
             "-Wmissing-prototypes", "-Werror", "-I" + root, "-I" + stubs, source.name],
            capture_output=True, text=True)


def check(clang, root, name, mistakes):
    """Whether the file is right and each of its mistakes is seen."""
    with open(os.path.join(root, name)) as file:
        text = file.read()
    result = compile_text(clang, root, name, text)
    print(result.stderr, end="")
    right = result.returncode == 0
    for written, instead, said in mistakes:
        assert written in text, f"nothing to spoil in {name}: {written}"
        spoilt = compile_text(clang, root, name, text.replace(written, instead, 1))
        if spoilt.returncode == 0 or not re.search(said, spoilt.stderr):
            print(f"{name}: not seen: {instead}\n{spoilt.stderr}")
            right = False
    print(f"{name}: {len(mistakes)} mistakes tried")
    return right


def main():
    clang, root = sys.argv[1:]
    results = [check(clang, root, name, mistakes) for name, mistakes in MISTAKES.items()]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
