# Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
# cmake -DIN=FILE -DOUT=FILE -DFROM=TEXT -DTO=TEXT -P mutate.cmake: copies a source with one mistake in it.
# Fails if the text to be spoiled is not there exactly once: the mutant must be kept in step.
# A semicolon ends a list item on its way here, so mutants write @ for it.
string(REPLACE "@" ";" TO "${TO}")
file(READ "${IN}" source)
string(FIND "${source}" "${FROM}" first)
string(FIND "${source}" "${FROM}" last REVERSE)
if(first EQUAL -1 OR NOT first EQUAL last)
  message(FATAL_ERROR "mutant: '${FROM}' is not exactly once in ${IN}")
endif()
string(REPLACE "${FROM}" "${TO}" source "${source}")
file(WRITE "${OUT}" "${source}")
