#!/usr/bin/env python3
# Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
"""Reads kernels as Metal's compiler would, as far as that can be had without it.

  check.py CLANG SOURCE              the kernels, as one text; exit 1 if anything is wrong
  check.py CLANG --mistakes FILE     planted mistakes: each must be found

clang compiles the text as C++ for OpenCL, which has Metal's address spaces and most of its
prohibitions, and as C++14, Metal's base; what neither forbids is looked up in the syntax tree.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
COMMON = ["-fsyntax-only", "-D__METAL_VERSION__=310", "-I" + HERE, "-Wno-unknown-attributes",
          "-ferror-limit=0", "-fno-caret-diagnostics", "-fno-color-diagnostics"]
OPENCL = ["--target=spir64", "-x", "clcpp", "-cl-std=clc++2021", "-Wall",
          "-Wsign-compare", "-Wno-unused-const-variable", "-Werror"]
CPP14 = ["-x", "c++", "-std=c++14", "-fno-exceptions", "-fno-rtti", "-nostdinc", "-nostdinc++",
         "-Wc++17-extensions", "-Wc++20-extensions"]
# Words of Metal's that neither C++ nor OpenCL reserves.
RESERVED = set("""vertex fragment mesh object visible stitchable intersection bfloat texture1d
    texture2d texture3d sampler object_data ray_data threadgroup_imageblock tile
    packed_float4 discard_fragment""".split()) - {"tile"}


def compile_as(clang, source, flags):
    return subprocess.run([clang, *COMMON, *flags, source], capture_output=True, text=True)


def diagnostics(output):
    """Error and warning lines; nested namespaces are the one extension that is used."""
    return [line for line in output.splitlines()
            if re.search(r"(error|warning): ", line) and "nested namespace" not in line]


def number_in(node):
    """The first number that is written in a part of a syntax tree."""
    if "value" in node:
        return node["value"]
    return next((n for n in map(number_in, node.get("inner", ())) if n), None)


class Tree:
    """What is wrong in a syntax tree."""

    def __init__(self, root):
        self.findings = []
        self.calls = {}  # of a function: those that it names
        self.names = {}
        self.threads = {}  # a threadgroup's most, of each kernel
        self.threads_run = None  # that the host runs
        self.walk(root, None)
        for kernel, threads in self.threads.items():
            if threads != self.threads_run:
                self.findings.append(f"kernel {kernel}: for threadgroups of {threads or 'any number of'}"
                                     f" threads, not of kThreads, {self.threads_run}")
        for function in self.calls:
            if function in self.reached(function):
                self.findings.append(f"recursion: {self.names[function]}")

    def reached(self, function):
        seen, todo = set(), list(self.calls[function])
        while todo:
            one = todo.pop()
            if one not in seen:
                seen.add(one)
                todo += self.calls.get(one, ())
        return seen

    def walk(self, node, function):
        kind, name = node.get("kind", ""), node.get("name")
        kind_of_type = node.get("type", {}).get("qualType", "")
        if kind in ("FunctionDecl", "CXXMethodDecl", "CXXConstructorDecl"):
            function = node["id"]
            self.calls.setdefault(function, set())
            self.names[function] = name
            if node.get("previousDecl"):
                function = node["previousDecl"]
            kind_of_type = kind_of_type.split("(")[0]
            attributes = {child["kind"]: child for child in node.get("inner", ()) if child}
            if "OpenCLKernelAttr" in attributes:
                self.threads[name] = number_in(attributes.get("AnnotateAttr", {}))
        if kind == "VarDecl" and name == "kThreads":
            self.threads_run = number_in(node)
        if name and kind.endswith("Decl") and not node.get("isImplicit"):
            if "__generic" in kind_of_type:
                self.findings.append(f"no address space: {name}: {kind_of_type}")
            if name in RESERVED:
                self.findings.append(f"reserved word: {name}")
            if kind == "VarDecl" and function and node.get("storageClass") == "static":
                self.findings.append(f"static variable in a function: {name}")
            if kind == "VarDecl" and not function and "__constant" not in kind_of_type:
                self.findings.append(f"variable in no constant address space: {name}")
        if re.search(r"\bdouble\b", kind_of_type) and re.search(r"(Var|Field|Function)Decl|Lit", kind):
            self.findings.append(f"double: {name or kind}")
        referenced = node.get("referencedDecl", {}).get("id") or node.get("referencedMemberDecl")
        if function and referenced:
            self.calls[function].add(referenced)
        for child in node.get("inner", ()):
            if child:
                self.walk(child, function)


def numbered_wrongly(text):
    """Kernels whose arguments are not buffers 0, 1, ..., then HATCHERY_THREAD."""
    kernel = r"^(?:HATCHERY_KERNEL|kernel void) (\w+)\((.*?)\)\s*\{"
    for match in re.finditer(kernel, text, re.S | re.M):
        name, arguments = match.groups()
        arguments = [a.strip() for a in arguments.split(",")]
        numbers = [re.search(r"\[\[buffer\((\d+)\)\]\]$", a) for a in arguments[:-1]]
        if arguments[-1] != "HATCHERY_THREAD" or not all(numbers):
            yield f"kernel {name}: arguments must be buffers, then HATCHERY_THREAD"
        elif [int(n.group(1)) for n in numbers] != list(range(len(numbers))):
            yield f"kernel {name}: buffers must be numbered in order"
        elif not arguments[-2].startswith("constant "):
            yield f"kernel {name}: the last buffer must be the constant struct"


def check(clang, source):
    with open(source) as file:
        text = file.read()
    found = list(numbered_wrongly(text))
    found += diagnostics(compile_as(clang, source, OPENCL).stderr)
    found += diagnostics(compile_as(clang, source, CPP14).stderr)
    tree = compile_as(clang, source, [*OPENCL, "-Xclang", "-ast-dump=json"])
    if tree.stdout:
        found += Tree(json.loads(tree.stdout)).findings
    elif not found:
        found.append("clang gave no syntax tree: " + tree.stderr)
    return found


def check_mistakes(clang, path):
    """`path` holds texts, each after a line `=== name: what must be found, a regular expression`."""
    with open(path) as file:
        parts = re.split(r"^=== (.*?): (.*)$", file.read(), flags=re.M)
    preamble, failures, count = parts[0], 0, 0
    for name, expected, text in zip(parts[1::3], parts[2::3], parts[3::3]):
        count += 1
        with tempfile.NamedTemporaryFile("w", suffix=".metal") as source:
            source.write(preamble + text)
            source.flush()
            found = check(clang, source.name)
        wrong = found if expected == "nothing" else not any(re.search(expected, f) for f in found)
        if wrong:
            failures += 1
            print(f"{name}: expected {expected}; found {found or 'nothing'}")
    print(f"{count - failures} of {count} judged rightly")
    return failures == 0 and count > 0


if __name__ == "__main__":
    if sys.argv[2] == "--mistakes":
        sys.exit(0 if check_mistakes(sys.argv[1], sys.argv[3]) else 1)
    problems = check(sys.argv[1], sys.argv[2])
    print("\n".join(problems) or "nothing found")
    sys.exit(1 if problems else 0)
