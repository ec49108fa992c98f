# The emulator of the CUDA kernels (tests/emulator), where a C++ compiler and the headers of a CUDA
# toolkit are found: kernels are then compiled as C++ and run on the CPU in tests.
#
# cz_emulated(NAME SOURCES ... [CHECKED]): an executable's or a module's kernels. CHECKED: compiled so
# that every access calls the emulator's checks; copies that the compiler leaves to the C library are
# renamed, since they would go unseen.
#
# cz_mutants(NAME [--all | --kernel FILE [--ops OPS | --program TARGET]] ...): a slow test NAME that
# the tests of kernels notice when one of these lacks a barrier; arguments of tests/emulator/mutate.py.
set(CZ_HAVE_EMULATOR OFF)
find_path(CZ_CUDA_HEADERS cuda_runtime_api.h HINTS ${CZ_CUDA_INCLUDE} PATHS /usr/local/cuda/include
    $ENV{CUDA_HOME}/include)
include(CheckLanguage)
check_language(CXX)
if(CMAKE_CXX_COMPILER AND CZ_CUDA_HEADERS AND NOT CZ_SANITIZE MATCHES "thread|fuzzer")
  enable_language(CXX)
  set(CMAKE_CXX_STANDARD 17)
  find_package(OpenMP REQUIRED COMPONENTS CXX)
  set(CZ_HAVE_EMULATOR ON)
endif()

# What all C++ of the emulator and its kernels is compiled with. The toolkit's headers assume what
# -fno-strict-aliasing says, and kernels read numbers through uint4.
function(cz_emulator_options target)
  target_compile_options(${target} PRIVATE -O2 -g -Wall -Wextra -Wshadow -Wno-unused-parameter
      -Wno-missing-field-initializers -Werror -fno-strict-aliasing -fvisibility=hidden)
  target_compile_definitions(${target} PRIVATE CZ_EMULATED="emulator/language.h")
  target_include_directories(${target} PRIVATE "${CZ_ROOTS}/kernels" "${CZ_ROOTS}/emulator"
      "${CMAKE_SOURCE_DIR}/tests")
  target_include_directories(${target} SYSTEM PRIVATE "${CZ_CUDA_HEADERS}")
  target_link_libraries(${target} PRIVATE OpenMP::OpenMP_CXX)
  if(CZ_SANITIZE) # but checks whose functions a C program does not have
    target_compile_options(${target} PRIVATE -O1 -fsanitize=${CZ_SANITIZE}
        -fno-sanitize=vptr,function -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_compile_definitions(${target} PRIVATE CZ_SANITIZED=1)
    target_link_options(${target} INTERFACE -fsanitize=${CZ_SANITIZE})
  endif()
endfunction()

# cz_emulated_kernels(NAME SOURCES ... [CHECKED]): the variable NAME holds the objects to link.
function(cz_emulated_kernels name)
  cmake_parse_arguments(K "CHECKED" "" "SOURCES" ${ARGN})
  add_library(${name} OBJECT ${K_SOURCES})
  set_source_files_properties(${K_SOURCES} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-x;c++")
  cz_emulator_options(${name})
  if(NOT K_CHECKED)
    set(${name} $<TARGET_OBJECTS:${name}> PARENT_SCOPE)
    return()
  endif()
  # one 16-byte access stays one: gcc would split it where its parts are used apart
  target_compile_options(${name} PRIVATE -fsanitize=thread -fno-tree-sra)
  target_compile_definitions(${name} PRIVATE CZ_EMULATOR_CHECKS=1)
  set(joined "${CMAKE_CURRENT_BINARY_DIR}/${name}.o")
  add_custom_command(
    OUTPUT "${joined}"
    COMMAND ${CMAKE_LINKER} -r -o "${joined}" $<TARGET_OBJECTS:${name}>
    COMMAND ${CMAKE_OBJCOPY} --redefine-sym memcpy=emu_memcpy --redefine-sym memset=emu_memset
        --redefine-sym memmove=emu_memmove "${joined}"
    DEPENDS ${name} $<TARGET_OBJECTS:${name}>
    COMMAND_EXPAND_LISTS
    COMMENT "Kernels of ${name} with every access seen")
  set(${name} "${joined}" PARENT_SCOPE)
endfunction()

function(cz_mutants name)
  add_test(NAME ${name} COMMAND python3 "${CMAKE_SOURCE_DIR}/tests/emulator/mutate.py"
      --build "${CMAKE_BINARY_DIR}" ${ARGN})
  set_tests_properties(${name} PROPERTIES LABELS slow TIMEOUT 3600)
endfunction()
