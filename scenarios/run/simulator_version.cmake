# SPDX-License-Identifier: Apache-2.0
# Run with cmake -P: writes OUTPUT, a header with one hash over the contents of SOURCES (a list, relative paths). The
# file is touched only when the hash changes, so that nothing is rebuilt for nothing.
set(text "")
foreach(source ${SOURCES})
  file(SHA256 ${source} digest)
  string(APPEND text "${source} ${digest}\n")
endforeach()
string(SHA256 version "${text}")
string(SUBSTRING ${version} 0 16 version)
set(header "// Generated: hash of the evaluators' sources.\n#pragma once\n#define LIGHTCONE_SIMULATOR_VERSION \"${version}\"\n")
set(before "")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} before)
endif()
if(NOT before STREQUAL header)
  file(WRITE ${OUTPUT} "${header}")
endif()
