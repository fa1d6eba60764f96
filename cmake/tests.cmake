# Every test is found by its place and name; CONTRIBUTING.md says what each label proves.

# FAISS and OpenBLAS start a thread per core unless told otherwise; on test machines that only adds
# noise.
set(test_env OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1
  ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1
  UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
  "TSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/support/tsan.supp second_deadlock_stack=1")

# a_test(name label timeout command...): registers one test with the common environment.
function(a_test name label timeout)
  add_test(NAME ${name} COMMAND ${ARGN} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS ${label} TIMEOUT ${timeout} ENVIRONMENT "${test_env}"
    SKIP_RETURN_CODE 77)
endfunction()

# ---- unit: tests/unit/test_<layer>_<topic>.c, linked with <layer> and cmocka

# Long random histories, threads and password hashes: label slow, so that `ctest -L unit` stays under
# ten seconds. scripts/test runs them all the same, also under sanitizers.
set(slow_units couch_salvage couch_stores vector_index couch_compact couch_space couch_purge
  wal_log_mem wal_calls_fail wal_backup_fail vector_threads auth_session)

function(unit_test source)
  get_filename_component(exe ${source} NAME_WE)
  string(REGEX REPLACE "^test_" "" topic ${exe})
  string(REGEX REPLACE "_.*" "" layer ${topic})
  if(NOT TARGET ${layer})
    message(FATAL_ERROR "${source}: no layer named ${layer}; the name is test_<layer>_<topic>.c")
  endif()
  add_executable(${exe} ${source})
  target_include_directories(${exe} PRIVATE tests/unit)
  target_link_libraries(${exe} PRIVATE warnings ${layer} PkgConfig::CMOCKA)
  if(topic IN_LIST slow_units)
    a_test(unit.${topic} slow 60 $<TARGET_FILE:${exe}>)
  else()
    a_test(unit.${topic} unit 60 $<TARGET_FILE:${exe}>)
  endif()
endfunction()

file(GLOB unit_sources CONFIGURE_DEPENDS tests/unit/test_*.c)
if(CMOCKA_FOUND AND NOT DIVAN_FUZZ)
  foreach(source ${unit_sources})
    unit_test(${source})
  endforeach()
endif()

# ---- fuzz: the same harness under libFuzzer (preset fuzz) or replaying its corpus (every other
# preset)

file(GLOB fuzz_sources CONFIGURE_DEPENDS tests/fuzz/fuzz_*.c)
foreach(source ${fuzz_sources})
  get_filename_component(exe ${source} NAME_WE)
  string(REGEX REPLACE "^fuzz_" "" topic ${exe})
  if(DIVAN_FUZZ)
    add_executable(${exe} ${source})
    target_link_options(${exe} PRIVATE -fsanitize=fuzzer)
    set(corpus tests/fuzz/corpus/${topic})
    if(NOT EXISTS ${PROJECT_SOURCE_DIR}/${corpus})
      set(corpus "")
    endif()
    a_test(fuzz.${topic} fuzz 300 $<TARGET_FILE:${exe}> -runs=0 ${corpus})
  elseif(EXISTS ${PROJECT_SOURCE_DIR}/tests/fuzz/replay_main.c)
    add_executable(${exe} ${source} tests/fuzz/replay_main.c)
    a_test(fuzz.${topic} fuzz 120 $<TARGET_FILE:${exe}> tests/fuzz/corpus/${topic})
  else()
    continue()
  endif()
  target_link_libraries(${exe} PRIVATE warnings app)
endforeach()

# ---- fault: crash states and failing file calls of the storage engine (tests/fault/main.c)

file(GLOB fault_sources CONFIGURE_DEPENDS tests/fault/*.c)
if(fault_sources AND NOT DIVAN_FUZZ)
  foreach(name trace fail) # preloaded into fault_driver; without the sanitizers' runtime
    add_library(fault_${name} MODULE tests/fault/${name}.c)
    set_target_properties(fault_${name} PROPERTIES PREFIX "" SUFFIX .so
      LIBRARY_OUTPUT_DIRECTORY ${CMAKE_RUNTIME_OUTPUT_DIRECTORY})
    target_compile_definitions(fault_${name} PRIVATE _GNU_SOURCE=)
    target_link_libraries(fault_${name} PRIVATE warnings Threads::Threads ${CMAKE_DL_LIBS})
  endforeach()
  list(FILTER fault_sources EXCLUDE REGEX "/(trace|fail)\\.c$")
  set(driver_sources ${fault_sources})
  list(FILTER driver_sources INCLUDE REGEX "/(driver|scripts|scripts_own|blob_scripts|dump)\\.c$")
  list(FILTER fault_sources EXCLUDE REGEX "/(driver|scripts|scripts_own|blob_scripts)\\.c$")
  add_executable(fault_driver ${driver_sources})
  add_executable(fault_run ${fault_sources})
  foreach(exe fault_driver fault_run)
    target_link_libraries(${exe} PRIVATE warnings couch)
  endforeach()
  add_dependencies(fault_run fault_driver fault_trace fault_fail)
  # FAULT_STATES=10000 and FAULT_RUNS=10000 in the environment make them long.
  a_test(fault.crash_states fault 3600 $<TARGET_FILE:fault_run> crash)
  a_test(fault.injection fault 3600 $<TARGET_FILE:fault_run> inject)
endif()

# ---- bench: programs in C, one executable a file; the short run only shows that they work

file(GLOB bench_sources CONFIGURE_DEPENDS tests/bench/*.c)
foreach(source ${bench_sources})
  get_filename_component(exe ${source} NAME_WE)
  add_executable(${exe} ${source})
  target_link_libraries(${exe} PRIVATE warnings app)
endforeach()
if(bench_sources AND NOT DIVAN_FUZZ)
  foreach(name storage http)
    a_test(bench.${name} slow 300 ${PYTHON} tests/bench/${name} --quick)
    set_property(TEST bench.${name} APPEND PROPERTY ENVIRONMENT DIVAN_BUILD=${PROJECT_BINARY_DIR})
  endforeach()
endif()

# ---- recall: needs the image data that lies beside the repository where it is built, else skipped

set(recall_data ${PROJECT_SOURCE_DIR}/../shared/data/mnist)

file(GLOB recall_sources CONFIGURE_DEPENDS tests/recall/recall_*.c)
foreach(source ${recall_sources})
  get_filename_component(exe ${source} NAME_WE)
  string(REGEX REPLACE "^recall_" "" topic ${exe})
  add_executable(${exe} ${source})
  target_link_libraries(${exe} PRIVATE warnings app)
  a_test(recall.${topic} recall 600 $<TARGET_FILE:${exe}>)
  if(EXISTS ${recall_data}/base.u8.gz)
    set_property(TEST recall.${topic} APPEND PROPERTY ENVIRONMENT DIVAN_MNIST=${recall_data})
  endif()
endforeach()

# ---- black box tests of the server

set(server_env "DIVAN=${PROJECT_BINARY_DIR}/divan" DIVAN_SANITIZE=${DIVAN_SANITIZE})
function(server_tests label folder pattern timeout)
  file(GLOB files CONFIGURE_DEPENDS ${folder}/${pattern})
  foreach(file ${files})
    get_filename_component(topic ${file} NAME_WE)
    string(REGEX REPLACE "^test_" "" topic ${topic})
    a_test(${label}.${topic} ${label} ${timeout} ${ARGN} ${file})
    set_property(TEST ${label}.${topic} APPEND PROPERTY ENVIRONMENT ${server_env})
  endforeach()
endfunction()

if(NOT DIVAN_FUZZ)
  set(pytest ${PYTHON} -m pytest -q -p no:cacheprovider)
  server_tests(api tests/api test_*.py 600 ${pytest})
  server_tests(model tests/model test_*.py 600 ${pytest})
  find_program(NODE node)
  if(NODE)
    server_tests(compat compat test_*.js 600 ${NODE} --test)
  endif()
endif()

# ---- kill: tests/kill/kill.py; scripts/test runs the build with kill points (preset kill) in all
# modes, and what is shipped in the plain one

set(kill_modes plain)
if(DIVAN_KILL_POINTS)
  set(kill_modes power points recovery backup)
endif()
if(NOT DIVAN_FUZZ)
  foreach(mode ${kill_modes})
    a_test(kill.${mode} kill 300 ${PYTHON} tests/kill/kill.py ${mode} --seconds 15
      --server ${PROJECT_BINARY_DIR}/divan)
  endforeach()
endif()

# ---- lint: the rules of CONTRIBUTING.md

a_test(lint.layers lint 30 ${PYTHON} tools/check_layers.py)
a_test(lint.style lint 30 ${PYTHON} tools/check_style.py)
a_test(lint.mutants lint 30 ${PYTHON} tests/mutants/run --apply)
find_program(CLANG_FORMAT NAMES clang-format-14 clang-format)
find_program(CLANG_TIDY NAMES clang-tidy-14 clang-tidy)
if(CLANG_FORMAT)
  a_test(lint.format lint 60 scripts/lint format ${CLANG_FORMAT})
endif()
if(CLANG_TIDY)
  a_test(lint.tidy lint 900 scripts/lint tidy ${CLANG_TIDY} ${PROJECT_BINARY_DIR})
  set_tests_properties(lint.tidy PROPERTIES PROCESSORS 2)
endif()
