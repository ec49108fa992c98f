# The CUDA module: what it is compiled with, and what of that was found. The program does not need
# any of it: it opens the module at run time.
#
# CZ_CUDA: AUTO, build the module where a toolkit is found; ON, fail without one; OFF. nvcc is looked
# for in CUDA_HOME, PATH, /usr/local/cuda* and in the wheels of .venv, which scripts/install_deps.sh
# --cuda puts there; headers and libraries are those beside it. CZ_CUDA_TOOLKIT names the folder.
#
# cz_cuda_objects(VAR SOURCES ... [INCLUDES folders]): VAR holds the objects that nvcc makes of
# kernels, for Ampere and Hopper and, as PTX, for what comes later. Warnings are errors; what ptxas says of registers and
# spills is kept in cuda/<file>.ptxas.txt of the build folder.
set(CZ_CUDA AUTO CACHE STRING "The CUDA module: ON, OFF, or AUTO when a toolkit is found")
set(CZ_HAVE_CUDA OFF)
set(CZ_CUDA_WHY "CZ_CUDA is OFF")

function(cz_cuda_find)
  file(GLOB installed LIST_DIRECTORIES true "/usr/local/cuda-*")
  list(SORT installed COMPARE NATURAL ORDER DESCENDING)
  file(GLOB wheels LIST_DIRECTORIES true
      "${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages/nvidia/cu*")
  list(SORT wheels COMPARE NATURAL ORDER DESCENDING)
  set(homes "${CZ_CUDA_TOOLKIT}" "$ENV{CUDA_HOME}")
  list(TRANSFORM homes APPEND /bin OUTPUT_VARIABLE first)
  set(homes /usr/local/cuda ${installed} ${wheels})
  list(TRANSFORM homes APPEND /bin OUTPUT_VARIABLE last)
  find_program(CZ_NVCC nvcc NO_DEFAULT_PATH PATHS ${first})
  find_program(CZ_NVCC nvcc PATHS ${last})
  if(NOT CZ_NVCC)
    set(CZ_CUDA_WHY "there is no nvcc" PARENT_SCOPE)
    return()
  endif()
  # where nvcc is a script or a link its toolkit is what it says itself
  execute_process(COMMAND "${CZ_NVCC}" --dryrun -c -x cu /dev/null
      OUTPUT_QUIET ERROR_VARIABLE said RESULT_VARIABLE failed)
  if(failed OR NOT said MATCHES "TOP=([^\n]+)")
    set(CZ_CUDA_WHY "${CZ_NVCC} does not run: ${said}" PARENT_SCOPE)
    return()
  endif()
  string(STRIP "${CMAKE_MATCH_1}" top)
  get_filename_component(top "${top}" REALPATH)
  execute_process(COMMAND "${CZ_NVCC}" --version OUTPUT_VARIABLE said)
  string(REGEX MATCH "V([0-9.]+)" said "${said}")
  if(CMAKE_MATCH_1 VERSION_LESS 13)
    set(CZ_CUDA_WHY "${CZ_NVCC} is of CUDA ${CMAKE_MATCH_1}, 13 is needed" PARENT_SCOPE)
    return()
  endif()
  set(CZ_CUDA_VERSION "${CMAKE_MATCH_1}" PARENT_SCOPE)
  set(CZ_CUDA_TOP "${top}" PARENT_SCOPE)
  set(places "${top}" "${top}/targets/x86_64-linux")
  set(beside NO_DEFAULT_PATH PATHS ${places} PATH_SUFFIXES include lib64 lib)
  find_path(CZ_CUDA_INCLUDE cuda_runtime_api.h ${beside})
  find_path(CZ_CUBLASLT_INCLUDE cublasLt.h ${beside})
  find_library(CZ_CUDART_LIB libcudart_static.a ${beside})
  find_library(CZ_CUBLASLT_LIB NAMES cublasLt libcublasLt.so.13 ${beside})
  set(beside_cudnn NO_DEFAULT_PATH PATHS ${places} "${top}/../cudnn" PATH_SUFFIXES include lib64 lib)
  find_path(CZ_CUDNN_INCLUDE cudnn_version.h ${beside_cudnn})
  find_library(CZ_CUDNN_LIB NAMES libcudnn.so.9 ${beside_cudnn}) # for tests
  foreach(part CZ_CUDA_INCLUDE CZ_CUBLASLT_INCLUDE CZ_CUDART_LIB CZ_CUBLASLT_LIB)
    if(NOT ${part})
      set(CZ_CUDA_WHY "${part} was not found in ${top}" PARENT_SCOPE)
      return()
    endif()
  endforeach()
  file(STRINGS "${CZ_CUBLASLT_INCLUDE}/cublas_api.h" major REGEX "define CUBLAS_VER_MAJOR")
  string(REGEX MATCH "[0-9]+" major "${major}")
  set(CZ_CUBLASLT_MAJOR "${major}" PARENT_SCOPE)
  set(CZ_HAVE_CUDA ON PARENT_SCOPE)
endfunction()

if(CZ_CUDA)
  cz_cuda_find()
endif()
# Tests of the host's side (tests/cuda) need the headers alone.
set(CZ_HAVE_CUDA_HEADERS ${CZ_HAVE_CUDA})
if(CZ_HAVE_CUDA AND CZ_SANITIZE)
  set(CZ_HAVE_CUDA OFF)
  set(CZ_CUDA_WHY "sanitizers do not see what nvcc compiles")
endif()
if(CZ_CUDA AND NOT CZ_CUDA STREQUAL "AUTO" AND NOT CZ_HAVE_CUDA_HEADERS)
  message(FATAL_ERROR "CZ_CUDA is ${CZ_CUDA}, but ${CZ_CUDA_WHY}. scripts/install_deps.sh --cuda "
      "installs what is needed; CZ_CUDA_TOOLKIT names the folder of a toolkit.")
endif()

# The number that follows DEFINES, one after another, joined by points.
function(cz_header_version out header)
  set(numbers "")
  foreach(define IN LISTS ARGN)
    file(STRINGS "${header}" line REGEX "^#define[ \t]+${define}[ \t]+[0-9]+")
    string(REGEX MATCH "[0-9]+$" number "${line}")
    list(APPEND numbers "${number}")
  endforeach()
  list(JOIN numbers "." numbers)
  set(${out} "${numbers}" PARENT_SCOPE)
endfunction()

function(cz_cuda_summary)
  if(NOT CZ_HAVE_CUDA)
    message(STATUS "  CUDA       no module: ${CZ_CUDA_WHY}")
    return()
  endif()
  cz_header_version(blas "${CZ_CUBLASLT_INCLUDE}/cublas_api.h" CUBLAS_VER_MAJOR CUBLAS_VER_MINOR
      CUBLAS_VER_PATCH CUBLAS_VER_BUILD)
  set(dnn "${CZ_CUDNN_VERSION}")
  if(CZ_CUDNN_INCLUDE AND NOT CZ_CUDNN_SOURCES)
    string(APPEND dnn ", which is not used: 9.19 or a later 9 is needed")
  endif()
  message(STATUS "  CUDA       ${CZ_CUDA_VERSION} in ${CZ_CUDA_TOP}, for sm_80, sm_90a and later; "
      "cuBLASLt ${blas}, cuDNN ${dnn}")
endfunction()

set(CZ_NVCC_OPTIONS -std=c++17 -O3 -gencode arch=compute_80,code=sm_80
    -gencode arch=compute_80,code=compute_80 -gencode arch=compute_90a,code=sm_90a
    -Xptxas -v,-Werror -Werror all-warnings
    -Xcompiler -fPIC,-fvisibility=hidden,-fno-exceptions,-fno-threadsafe-statics)

function(cz_cuda_objects out)
  cmake_parse_arguments(K "" "" "SOURCES;INCLUDES" ${ARGN})
  set(objects "")
  list(TRANSFORM K_INCLUDES PREPEND "-I")
  file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/cuda")
  foreach(source IN LISTS K_SOURCES)
    get_filename_component(name "${source}" NAME_WE)
    set(object "${CMAKE_BINARY_DIR}/cuda/${name}.o")
    set(said "${CMAKE_BINARY_DIR}/cuda/${name}.ptxas.txt")
    add_custom_command(
      OUTPUT "${object}"
      BYPRODUCTS "${said}"
      COMMAND sh "${CMAKE_SOURCE_DIR}/cmake/compile_cuda.sh" "${said}" "${CZ_NVCC}"
          ${CZ_NVCC_OPTIONS} "-I${CZ_ROOTS}/kernels" ${K_INCLUDES} -MD -MF "${object}.d" -MT "${object}"
          -c "${source}" -o "${object}"
      DEPENDS "${source}" "${CMAKE_SOURCE_DIR}/cmake/compile_cuda.sh"
      DEPFILE "${object}.d"
      COMMENT "Compiling ${name}.cu for sm_80 and sm_90a"
      VERBATIM)
    list(APPEND objects "${object}")
  endforeach()
  set(${out} ${objects} PARENT_SCOPE)
endfunction()

# What every module of these sources is made of: the device, without the library that multiplies for
# it, which the emulated module (tests/emulator) and the one of tests/cuda replace, and without what
# calls cuDNN, which needs its headers, of a version that runtime/cuda/cudnn.h takes.
set(CZ_MODULES "${CMAKE_BINARY_DIR}/modules")
cz_root(cuda "${CMAKE_SOURCE_DIR}/runtime/cuda")
file(GLOB CZ_CUDA_SOURCES CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/runtime/cuda/*.c")
set(CZ_CUBLASLT_SOURCES ${CZ_CUDA_SOURCES})
list(FILTER CZ_CUBLASLT_SOURCES INCLUDE REGEX "/cublaslt[^/]*\\.c$")
list(FILTER CZ_CUDA_SOURCES EXCLUDE REGEX "/cublaslt[^/]*\\.c$")
set(CZ_CUDNN_SOURCES ${CZ_CUDA_SOURCES})
list(FILTER CZ_CUDNN_SOURCES INCLUDE REGEX "/cudnn[^/]*\\.c$")
list(FILTER CZ_CUDA_SOURCES EXCLUDE REGEX "/cudnn[^/]*\\.c$")
set(CZ_CUDNN_VERSION "none")
if(CZ_CUDNN_INCLUDE)
  cz_header_version(CZ_CUDNN_VERSION "${CZ_CUDNN_INCLUDE}/cudnn_version.h" CUDNN_MAJOR CUDNN_MINOR
      CUDNN_PATCHLEVEL)
endif()
if(CZ_CUDNN_VERSION VERSION_LESS 9.19 OR CZ_CUDNN_VERSION VERSION_GREATER_EQUAL 10)
  set(CZ_CUDNN_SOURCES "")
endif()
list(APPEND CZ_CUDA_SOURCES "${CMAKE_SOURCE_DIR}/runtime/device/module_side.c"
    "${CMAKE_SOURCE_DIR}/runtime/base/clock.c" "${CMAKE_SOURCE_DIR}/runtime/base/program.c")

# cz_cuda_module(TARGET INCLUDES folders [EXPORTS file]): how such a module is compiled and linked.
# It shows cz_module_device alone, or what the linker's map says, and looks for libraries beside
# itself.
function(cz_cuda_module target)
  cmake_parse_arguments(M "" "EXPORTS" "INCLUDES" ${ARGN})
  set(exports "${CMAKE_SOURCE_DIR}/runtime/cuda/exports.map")
  if(M_EXPORTS)
    set(exports "${M_EXPORTS}")
  endif()
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:C>:${CZ_WARNINGS}>
      -fvisibility=hidden)
  target_compile_definitions(${target} PRIVATE CZ_MODULE=1)
  foreach(u base device kernels cuda)
    target_include_directories(${target} PRIVATE "${CZ_ROOTS}/${u}")
  endforeach()
  target_include_directories(${target} SYSTEM PRIVATE ${M_INCLUDES})
  set_target_properties(${target} PROPERTIES BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "\$ORIGIN"
      INSTALL_RPATH_USE_LINK_PATH OFF LINK_DEPENDS "${exports}")
  # What launchers call of the kernels' C files; an archive gives no more than that.
  add_dependencies(${target} cz_kernels)
  target_link_libraries(${target} PRIVATE $<TARGET_FILE:cz_kernels>)
  target_link_options(${target} PRIVATE "-Wl,--version-script=${exports}")
  if(NOT CZ_SANITIZE) # whose functions are the program's
    target_link_options(${target} PRIVATE -Wl,--no-undefined)
  endif()
endfunction()
