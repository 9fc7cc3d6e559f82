# Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
# Writes the files NAMES, under ROOT, to TO: a {"name", "text"}, for each.
string(REPLACE "," ";" names "${NAMES}")
set(all "")
foreach(name IN LISTS names)
  file(READ "${ROOT}/${name}" text)
  string(APPEND all "{\"${name}\", R\"embedded(${text})embedded\"},\n")
endforeach()
file(WRITE "${TO}" "${all}")
