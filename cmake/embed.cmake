# Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
# Writes the file FROM to TO as a C++ string literal.
file(READ ${FROM} text)
file(WRITE ${TO} "R\"embedded(${text})embedded\"\n")
