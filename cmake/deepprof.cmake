# SPDX-License-Identifier: Apache-2.0
# The build believes file names: *_signal.c and *_hook.c go into the host's library, every other file into
# the agent. Code for the host is libc alone; what the agent shares with it (base, the walker) it links too.

set_property(GLOBAL PROPERTY DEEPPROF_SIGNAL_OBJECTS "")
set_property(GLOBAL PROPERTY DEEPPROF_HOOK_OBJECTS "")
set_property(GLOBAL PROPERTY DEEPPROF_AGENT_OBJECTS "")

# deepprof_sources(FOLDER file.c ...): sorts a folder's files by the place where they run.
function(deepprof_sources folder)
  set(signal "")
  set(hook "")
  set(agent "")
  foreach(file IN LISTS ARGN)
    if(file MATCHES "_signal\\.c$")
      list(APPEND signal ${file})
    elseif(file MATCHES "_hook\\.c$")
      list(APPEND hook ${file})
    else()
      list(APPEND agent ${file})
    endif()
  endforeach()
  foreach(place signal hook agent)
    if(${place} AND NOT (place STREQUAL "agent" AND DEEPPROF_HOST_ONLY))
      add_library(dp_${folder}_${place} OBJECT ${${place}})
      string(TOUPPER ${place} upper)
      set_property(GLOBAL APPEND PROPERTY DEEPPROF_${upper}_OBJECTS dp_${folder}_${place})
      if(place STREQUAL "signal")
        # No stack protector (its failure path leaves the allow list), no vector registers to save.
        target_compile_options(dp_${folder}_signal PRIVATE -O2 -fno-stack-protector -U_FORTIFY_SOURCE
          -fno-tree-loop-distribute-patterns -fno-plt
          $<$<STREQUAL:${CMAKE_SYSTEM_PROCESSOR},x86_64>:-mgeneral-regs-only>)
      endif()
      if(place STREQUAL "hook")
        target_compile_options(dp_${folder}_hook PRIVATE -fno-stack-protector -U_FORTIFY_SOURCE -fno-plt)
      endif()
      if(place STREQUAL "agent")
        target_link_libraries(dp_${folder}_agent PUBLIC deepprof_libraries)
      endif()
    endif()
  endforeach()
endfunction()

# Libraries of the agent and the command; libdeepprof.so needs none of them.
macro(deepprof_find_libraries)
  find_package(PkgConfig REQUIRED)
  pkg_check_modules(UNWIND REQUIRED IMPORTED_TARGET libunwind-generic)
  pkg_check_modules(PROTOBUF_C REQUIRED IMPORTED_TARGET libprotobuf-c)
  pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl)
  pkg_check_modules(ZLIB REQUIRED IMPORTED_TARGET zlib)
  pkg_check_modules(DW REQUIRED IMPORTED_TARGET libdw)
  pkg_check_modules(ELF REQUIRED IMPORTED_TARGET libelf)
  pkg_check_modules(LZMA REQUIRED IMPORTED_TARGET liblzma)
  find_library(IBERTY_LIBRARY NAMES libiberty.a REQUIRED)
  find_program(PROTOC_C protoc-c REQUIRED)
  add_library(deepprof_libraries INTERFACE)
  target_link_libraries(deepprof_libraries INTERFACE PkgConfig::UNWIND PkgConfig::PROTOBUF_C
    PkgConfig::ZLIB PkgConfig::DW PkgConfig::ELF PkgConfig::LZMA ${IBERTY_LIBRARY} Threads::Threads)
  # libcurl's headers alone: export/push_curl.c loads the library when something is to be sent.
  target_include_directories(deepprof_libraries INTERFACE ${CURL_INCLUDE_DIRS})
  target_link_libraries(deepprof_libraries INTERFACE ${CMAKE_DL_LIBS})
  find_package(Threads REQUIRED)
endmacro()

# The three things we build: the host's library, the agent, the command.
function(deepprof_targets)
  get_property(signal GLOBAL PROPERTY DEEPPROF_SIGNAL_OBJECTS)
  get_property(hook GLOBAL PROPERTY DEEPPROF_HOOK_OBJECTS)
  get_property(agent GLOBAL PROPERTY DEEPPROF_AGENT_OBJECTS)

  add_library(deepprof SHARED)
  target_link_libraries(deepprof PRIVATE ${signal} ${hook})
  target_link_options(deepprof PRIVATE -Wl,--no-undefined -Wl,-z,now -Wl,-z,nodelete -Wl,-z,relro
    -Wl,--version-script=${PROJECT_SOURCE_DIR}/preload/exports.map)
  set_target_properties(deepprof PROPERTIES LINK_DEPENDS ${PROJECT_SOURCE_DIR}/preload/exports.map)
  install(TARGETS deepprof LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  if(DEEPPROF_HOST_ONLY)
    return()
  endif()

  # What the agent and the tests link: its own files and the host code that both sides share.
  set(shared "")
  foreach(object IN LISTS signal hook)
    if(object MATCHES "^dp_(base|unwind|runtimes)_")
      list(APPEND shared ${object})
    endif()
  endforeach()
  set(core ${agent})
  list(FILTER core EXCLUDE REGEX "^dp_cli_")
  # An archive: a test takes of it what it needs.
  set(objects "")
  foreach(object IN LISTS core shared)
    list(APPEND objects $<TARGET_OBJECTS:${object}>)
  endforeach()
  add_library(deepprof_core STATIC ${objects})
  target_link_libraries(deepprof_core INTERFACE deepprof_libraries)
endfunction()

# deepprof_test(ring [LABEL label] [TIMEOUT s] [LIBS ...]): tests/unit/test_ring.c becomes the test unit.ring.
function(deepprof_test name)
  cmake_parse_arguments(T "" "TIMEOUT" "LIBS;SOURCES" ${ARGN})
  add_executable(test_${name} ${CMAKE_CURRENT_SOURCE_DIR}/test_${name}.c ${T_SOURCES})
  target_link_libraries(test_${name} PRIVATE deepprof_core ${T_LIBS} cmocka)
  get_filename_component(kind ${CMAKE_CURRENT_SOURCE_DIR} NAME)
  add_test(NAME ${kind}.${name} COMMAND test_${name})
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 120)
  endif()
  set_tests_properties(${kind}.${name} PROPERTIES LABELS ${kind} TIMEOUT ${T_TIMEOUT} SKIP_RETURN_CODE 77
    ENVIRONMENT "DEEPPROF_SOURCE=${PROJECT_SOURCE_DIR};DEEPPROF_BUILD=${PROJECT_BINARY_DIR}")
endfunction()

# deepprof_script_test(kind.name script [args]): an executable script as a test; 77 is skipped.
function(deepprof_script_test name script)
  cmake_parse_arguments(T "" "TIMEOUT" "" ${ARGN})
  string(REGEX REPLACE "\\..*" "" kind ${name})
  add_test(NAME ${name} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/${script} ${T_UNPARSED_ARGUMENTS})
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 300)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS ${kind} TIMEOUT ${T_TIMEOUT} SKIP_RETURN_CODE 77
    ENVIRONMENT "DEEPPROF_SOURCE=${PROJECT_SOURCE_DIR};DEEPPROF_BUILD=${PROJECT_BINARY_DIR}")
endfunction()
