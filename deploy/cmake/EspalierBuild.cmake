# The one set of flags, and the three helpers with which every folder declares itself:
#   espalier_program(NAME SOURCES a.c ... [LINKS lib ...])      an installed program
#   espalier_library(NAME SOURCES a.c ... [LINKS lib ...])
#   espalier_test(NAME LABEL quick|full|... SOURCES a.c ... [LINKS lib ...] [TIMEOUT s])

include(GNUInstallDirs)

# The programs lie together, as they do when installed: the client and the daemon look for the worker beside themselves.
set(ESPALIER_BIN ${PROJECT_BINARY_DIR}/bin)
function(espalier_program name)
  cmake_parse_arguments(A "" "" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${ESPALIER_BIN})
  target_compile_definitions(${name} PRIVATE ESPALIER_VERSION="${PROJECT_VERSION}")
  target_link_libraries(${name} PRIVATE espalier_flags ${A_LINKS})
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()

add_library(espalier_flags INTERFACE)
target_compile_definitions(espalier_flags INTERFACE _GNU_SOURCE)
target_compile_options(espalier_flags INTERFACE
  -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 -Wundef
  -Wpointer-arith -Wwrite-strings -fno-common -ffp-contract=off
  $<$<BOOL:${ESPALIER_WERROR}>:-Werror>)
# On arm64 gcc 12's vectoriser breaks down ("in vect_transform_reduction") over a maximum that widens its argument, so fmax stays a call.
if(CMAKE_SYSTEM_PROCESSOR STREQUAL aarch64 AND CMAKE_C_COMPILER_ID STREQUAL GNU AND CMAKE_C_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(espalier_flags INTERFACE -fno-builtin-fmax -fno-builtin-fmin)
endif()
if(ESPALIER_SANITIZE)
  target_compile_options(espalier_flags INTERFACE
    -fsanitize=${ESPALIER_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(espalier_flags INTERFACE -fsanitize=${ESPALIER_SANITIZE})
endif()

# Include roots are the top folders, so an include names its layer: "base/err.h", "engine/op/op.h".
function(espalier_library name)
  cmake_parse_arguments(A "" "" "SOURCES;LINKS" ${ARGN})
  add_library(${name} STATIC ${A_SOURCES})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR}/proto)
  target_link_libraries(${name} PUBLIC espalier_flags ${A_LINKS})
endfunction()

function(espalier_test name)
  cmake_parse_arguments(A "" "LABEL;TIMEOUT" "SOURCES;LINKS;ARGS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/support)
  target_compile_definitions(${name} PRIVATE
    TEST_SOURCE_DIR="${PROJECT_SOURCE_DIR}/tests" TEST_BINARY_DIR="${PROJECT_BINARY_DIR}")
  target_link_libraries(${name} PRIVATE espalier_flags PkgConfig::CMOCKA ${A_LINKS})
  add_test(NAME ${name} COMMAND ${name} ${A_ARGS})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 120)
  endif()
  if(CMAKE_CROSSCOMPILING) # an emulator runs them
    math(EXPR A_TIMEOUT "10 * ${A_TIMEOUT}")
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${A_LABEL}" TIMEOUT ${A_TIMEOUT})
endfunction()
