# Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
# Packages of npm, fetched when configuring: a build that cannot have them must know before it starts.
find_program(HATCHERY_NODE node)
find_program(HATCHERY_NPM npm)

# hatchery_npm(FROM TO RESULT): what FROM/package-lock.json lists, in TO/node_modules. RESULT becomes
# empty, or says in some words why that cannot be.
function(hatchery_npm from to result)
  set(${result} "" PARENT_SCOPE)
  if(NOT HATCHERY_NODE OR NOT HATCHERY_NPM)
    set(${result} "node or npm not found" PARENT_SCOPE)
    return()
  endif()
  execute_process(COMMAND ${HATCHERY_NODE} --version OUTPUT_VARIABLE version ERROR_QUIET)
  string(REGEX REPLACE "^v([0-9.]+).*" "\\1" version "${version}")
  if(NOT version VERSION_GREATER_EQUAL 18)
    set(${result} "node ${version} is older than 18" PARENT_SCOPE)
    return()
  endif()
  file(SHA256 ${from}/package-lock.json wanted)
  set(stamp ${to}/node_modules/.hatchery)
  if(EXISTS ${stamp})
    file(READ ${stamp} there)
    if(there STREQUAL wanted)
      return()
    endif()
  endif()
  file(COPY ${from}/package.json ${from}/package-lock.json ${from}/.npmrc DESTINATION ${to})
  execute_process(COMMAND ${HATCHERY_NPM} ci --ignore-scripts --no-audit --no-fund
                  WORKING_DIRECTORY ${to} RESULT_VARIABLE failed OUTPUT_VARIABLE output
                  ERROR_VARIABLE output TIMEOUT 300)
  if(failed)
    file(WRITE ${to}/npm.log "${output}")
    set(${result} "npm could not fetch its packages (${to}/npm.log)" PARENT_SCOPE)
    return()
  endif()
  file(WRITE ${stamp} ${wanted})
endfunction()
