# SPDX-License-Identifier: Apache-2.0
# Run with cmake -P in the folder that the names in SOURCES_FILE (one a line) are relative to: writes OUTPUT, a header
# that defines MACRO as a hash over these names and the contents of the files. OUTPUT is touched only when the hash
# changes, so that nothing is rebuilt for nothing.
file(STRINGS ${SOURCES_FILE} sources)
set(text "")
foreach(source ${sources})
  file(SHA256 ${source} digest)
  string(APPEND text "${source} ${digest}\n")
endforeach()
string(SHA256 version "${text}")
string(SUBSTRING ${version} 0 16 version)
set(header "// Generated: hash of sources.\n#pragma once\n#define ${MACRO} \"${version}\"\n")
set(before "")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} before)
endif()
if(NOT before STREQUAL header)
  file(WRITE ${OUTPUT} "${header}")
endif()
