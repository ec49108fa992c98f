# cz_module(NAME FOLDER USES a b ... LIBS x y ...): one folder is one static library `cz_NAME`.
#
# A folder sees its own headers and those of the folders it names in USES, and no others: every
# folder has an include root of its own that holds nothing but a link to it, so an include against
# the arrows of the design does not compile.
set(CZ_ROOTS "${CMAKE_BINARY_DIR}/roots")

set(CZ_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
    -Wpointer-arith -Wwrite-strings
    -Wno-unused-parameter -Wno-gnu-zero-variadic-macro-arguments -Werror)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  # cut texts are cut on purpose; clang has no such warning
  list(APPEND CZ_WARNINGS -Wno-format-truncation)
else()
  # a loop marked simd that is not vectorised is slower, not wrong
  list(APPEND CZ_WARNINGS -Wno-pass-failed)
  # rows of tables leave their optional last members to zero; gcc allows that
  list(APPEND CZ_WARNINGS -Wno-missing-field-initializers)
endif()

function(cz_root name folder)
  file(MAKE_DIRECTORY "${CZ_ROOTS}/${name}")
  if(NOT EXISTS "${CZ_ROOTS}/${name}/${name}")
    file(CREATE_LINK "${folder}" "${CZ_ROOTS}/${name}/${name}" SYMBOLIC)
  endif()
endfunction()

function(cz_compile_options target)
  target_compile_options(${target} PRIVATE ${CZ_WARNINGS})
  target_link_libraries(${target} PRIVATE OpenMP::OpenMP_C Threads::Threads m)
  if(CZ_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${CZ_SANITIZE} -fno-omit-frame-pointer
        -fno-sanitize-recover=all)
    target_compile_definitions(${target} PRIVATE CZ_SANITIZED=1)
    target_link_options(${target} PRIVATE -fsanitize=${CZ_SANITIZE})
  endif()
endfunction()

function(cz_module name)
  cmake_parse_arguments(M "" "" "USES;LIBS" ${ARGN})
  cz_root(${name} "${CMAKE_CURRENT_SOURCE_DIR}")
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.c")
  add_library(cz_${name} STATIC ${sources})
  cz_compile_options(cz_${name})
  target_include_directories(cz_${name} PRIVATE "${CZ_ROOTS}/${name}")
  foreach(u IN LISTS M_USES)
    target_include_directories(cz_${name} PRIVATE "${CZ_ROOTS}/${u}")
    target_link_libraries(cz_${name} PUBLIC cz_${u})
  endforeach()
  target_link_libraries(cz_${name} PRIVATE ${M_LIBS})
endfunction()

# cz_test(NAME SOURCES ... [USES folders] [LIBS ...] [TIMEOUT s]): a cmocka program that sees
# tests/common and the folders it names, registered with CTest.
function(cz_test name)
  cmake_parse_arguments(T "" "TIMEOUT" "SOURCES;LIBS;USES" ${ARGN})
  add_executable(${name} ${T_SOURCES})
  cz_compile_options(${name})
  target_link_libraries(${name} PRIVATE cz_tests_common)
  foreach(u IN LISTS T_USES ITEMS base json)
    target_include_directories(${name} PRIVATE "${CZ_ROOTS}/${u}")
    target_link_libraries(${name} PRIVATE cz_${u})
  endforeach()
  target_include_directories(${name} PRIVATE "${CMAKE_SOURCE_DIR}/tests")
  target_link_libraries(${name} PRIVATE PkgConfig::CMOCKA ${T_LIBS})
  target_compile_definitions(${name} PRIVATE CZ_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
      CZ_BINARY_DIR="${CMAKE_BINARY_DIR}")
  add_test(NAME ${name} COMMAND ${name})
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 300)
  endif()
  if(CZ_SANITIZE MATCHES thread) # costs a factor of five to fifteen
    math(EXPR T_TIMEOUT "4 * ${T_TIMEOUT}")
  elseif(CZ_SANITIZE) # address and undefined: two to three
    math(EXPR T_TIMEOUT "2 * ${T_TIMEOUT}")
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${T_TIMEOUT})
endfunction()
