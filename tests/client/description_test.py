# Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
"""Completions in real shells, and manual pages read by the programs that read them.

description_test.py DIRECTORY: the programs are there. Shells and readers that are not installed are
skipped.
"""
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

BIN = sys.argv[1]
PROGRAMS = ["hatchery", "hatchery-coordinator", "hatchery-worker"]


def ask(program, *arguments):
    done = subprocess.run([os.path.join(BIN, program), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def subcommands():
    """As --help lists them."""
    text = ask("hatchery", "--help")
    return re.findall(r"^  ([a-z-]+) ", text[text.index("Subcommands:"):], re.M)


def bash(line, program="hatchery"):
    """What bash offers at the end of `line`."""
    words = line.split(" ")
    script = f"""
        source /dev/stdin
        COMP_WORDS=({' '.join("'" + w + "'" for w in words)})
        COMP_CWORD={len(words) - 1}
        _{program.replace('-', '_')}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    completion = ask(program, "--self-description", "bash")
    done = subprocess.run(["bash", "--norc", "-uc", script], input=completion,
                          capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.split()


class Bash(unittest.TestCase):
    def test_offers_all_commands(self):
        self.assertEqual(sorted(bash("hatchery ")), sorted(subcommands()))
        self.assertIn("doctor", subcommands())

    def test_completes_what_was_begun(self):
        self.assertEqual(bash("hatchery wat"), ["watch"])
        self.assertEqual(bash("hatchery train --back"), ["--backend"])
        self.assertEqual(bash("hatchery train --backend c"), ["cpu", "cuda"])
        self.assertEqual(bash("hatchery data k"), ["kjv"])
        self.assertEqual(bash("hatchery data count --vo"), ["--vocab"])
        self.assertEqual(bash("hatchery completion "), ["bash", "zsh"])

    def test_offers_every_option_of_help(self):
        for command in subcommands():
            options = set(re.findall(r"(?:^  |,)(--?[a-z][a-z-]*)", ask("hatchery", command, "--help"),
                                     re.M))
            self.assertEqual(set(bash(f"hatchery {command} -")), options, command)

    def test_files_are_left_to_the_shell(self):
        self.assertEqual(bash("hatchery train --data "), [])
        self.assertEqual(bash("hatchery train "), [])

    def test_other_programs(self):
        self.assertEqual(bash("hatchery-worker --log-format ", "hatchery-worker"), ["text", "json"])
        self.assertIn("--data-dir", bash("hatchery-coordinator --d", "hatchery-coordinator"))

    def test_command_prints_the_same(self):
        for shell in "bash", "zsh":
            self.assertEqual(ask("hatchery", "completion", shell),
                             ask("hatchery", "--self-description", shell))


@unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
class Zsh(unittest.TestCase):
    def complete(self, typed, expected, setup="autoload -U compinit; compinit -u -D"):
        """Types into an interactive zsh, with the files where cmake --install puts them."""
        with tempfile.TemporaryDirectory() as folder:
            for program in PROGRAMS:
                with open(f"{folder}/_{program}", "w", encoding="utf-8") as file:
                    file.write(ask(program, "--self-description", "zsh"))
            pid, terminal = pty.fork()
            if pid == 0:
                os.environ.update(TERM="dumb", PS1="> ", ZDOTDIR=folder,
                                  PATH=BIN + ":" + os.environ["PATH"])
                os.execvp("zsh", ["zsh", "-f", "-i"])

            seen = b""

            def read_until(pattern, limit=30):
                nonlocal seen
                end = time.time() + limit
                while not re.search(pattern, seen):
                    self.assertLess(time.time(), end, f"no {pattern} in {seen!r}")
                    if select.select([terminal], [], [], 0.1)[0]:
                        seen += os.read(terminal, 65536)

            try:
                os.write(terminal, f"fpath=({folder} $fpath); {setup}; "
                                   "print -n REA; print DY\n".encode())
                read_until(rb"READY")
                seen = b""
                os.write(terminal, typed.encode() + b"\t")
                read_until(expected)
            finally:
                os.close(terminal)
                os.waitpid(pid, 0)

    def test_commands_options_and_values(self):
        self.complete("hatchery wat", rb"watch ")
        self.complete("hatchery train --backend cu", rb"cuda ")
        self.complete("hatchery data kj", rb"kjv ")
        self.complete("hatchery-coordinator --data-d", rb"data-dir")

    def test_sourced_where_nobody_started_the_completion_system(self):
        # -u: whoever owns the test machine's functions, zsh is not to ask about it.
        self.complete("hatchery wat", rb"watch ",
                      "compinit() { unfunction compinit; autoload -U compinit; compinit -u -D }; "
                      "source <(hatchery completion zsh)")

    def test_syntax(self):
        for program in PROGRAMS:
            done = subprocess.run(["zsh", "-fn", "/dev/stdin"], text=True, capture_output=True,
                                  input=ask(program, "--self-description", "zsh"))
            self.assertEqual((done.returncode, done.stderr), (0, ""), program)


class Man(unittest.TestCase):
    def page(self, program):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = f"{folder.name}/{program}.1"
        with open(path, "w", encoding="utf-8") as file:
            file.write(ask(program, "--self-description", "man"))
        return path

    def test_says_everything(self):
        text = ask("hatchery", "--self-description", "man")
        for command in subcommands():
            self.assertIn(".SS " + command.replace("-", r"\-"), text)
        self.assertIn("HATCHERY_COORDINATOR", text)
        for program in PROGRAMS[1:]:
            options = re.findall(r"^  (?:-\w,)?(--[a-z-]+)", ask(program, "--help"), re.M)
            page = ask(program, "--self-description", "man").replace("\\-", "-")
            for option in options:
                if option not in ("--help", "--version"):
                    self.assertIn(f"\\fB{option}\\fR", page)

    def test_date_can_be_fixed(self):
        done = subprocess.run([os.path.join(BIN, "hatchery"), "--self-description", "man"],
                              capture_output=True, text=True,
                              env={**os.environ, "SOURCE_DATE_EPOCH": "86400"})
        self.assertIn('"1970-01-02"', done.stdout.splitlines()[0])

    @unittest.skipUnless(shutil.which("mandoc"), "mandoc is not installed")
    def test_mandoc_has_no_complaint(self):
        for program in PROGRAMS:
            done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", self.page(program)],
                                  capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    @unittest.skipUnless(shutil.which("man") and shutil.which("groff"), "man is not installed")
    def test_man_has_no_warnings(self):
        for program in PROGRAMS:
            done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8",
                                   self.page(program)],
                                  capture_output=True, text=True,
                                  env={**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8"})
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("DESCRIPTION", re.sub(".\x08", "", done.stdout))  # bold is overstruck


unittest.main(argv=sys.argv[:1], verbosity=2)
