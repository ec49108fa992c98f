# Finds what Cloze stands on (docs/design.md 15), says what it found, and stops with the Debian
# package's name when a required part is missing.
function(cz_need package)
  foreach(found IN LISTS ARGN)
    if(NOT ${found})
      message(FATAL_ERROR
          "${package} is missing (Debian's name of it). "
          "scripts/install_deps.sh installs all that Cloze needs.")
    endif()
  endforeach()
endfunction()

function(cz_pkg_config name module package)
  pkg_check_modules(${name} QUIET IMPORTED_TARGET GLOBAL ${module})
  cz_need(${package} ${name}_FOUND)
endfunction()

find_package(PkgConfig)
cz_need(pkg-config PkgConfig_FOUND)
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS C)
find_package(HDF5 QUIET COMPONENTS C)
cz_need(libhdf5-dev HDF5_FOUND)
cz_pkg_config(JANSSON jansson libjansson-dev)
cz_pkg_config(FYAML libfyaml libfyaml-dev)
cz_pkg_config(UTF8PROC libutf8proc libutf8proc-dev)
cz_pkg_config(PCRE2 libpcre2-8 libpcre2-dev)
find_library(CZ_CSV_LIB csv) # libcsv-dev has neither a .pc file nor a CMake package
find_path(CZ_CSV_INCLUDE csv.h)
cz_need(libcsv-dev CZ_CSV_LIB CZ_CSV_INCLUDE)
add_library(cz_csv INTERFACE)
target_link_libraries(cz_csv INTERFACE ${CZ_CSV_LIB})
target_include_directories(cz_csv SYSTEM INTERFACE ${CZ_CSV_INCLUDE})

# The OpenMP variant of OpenBLAS first: the pthread variant beside OpenMP loops costs 60 %
# (docs/design.md 15). Any CBLAS will do otherwise.
find_library(CZ_BLAS_LIB openblas PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/openblas-openmp
    NO_DEFAULT_PATH)
find_path(CZ_BLAS_INCLUDE cblas.h PATHS /usr/include/${CMAKE_LIBRARY_ARCHITECTURE}/openblas-openmp
    NO_DEFAULT_PATH)
if(NOT CZ_BLAS_LIB OR NOT CZ_BLAS_INCLUDE)
  find_package(BLAS REQUIRED)
  find_path(CZ_BLAS_INCLUDE cblas.h PATH_SUFFIXES openblas openblas-pthread blis REQUIRED)
  set(CZ_BLAS_LIB ${BLAS_LIBRARIES})
  message(WARNING "libopenblas-openmp-dev is missing; using ${CZ_BLAS_LIB}")
endif()
add_library(cz_blas INTERFACE)
target_link_libraries(cz_blas INTERFACE ${CZ_BLAS_LIB})
target_include_directories(cz_blas SYSTEM INTERFACE ${CZ_BLAS_INCLUDE})
if("${CZ_BLAS_LIB}" MATCHES "openblas")
  target_compile_definitions(cz_blas INTERFACE CZ_HAVE_OPENBLAS=1)
endif()

# oneDNN drives the matrix units of processors that have some for bfloat16 (docs/design.md 15).
# Optional: without it bfloat16 is computed in float32. Debian's is made with gcc's OpenMP, whose
# threads another compiler's program could not hold to one a tile.
set(CZ_ONEDNN AUTO CACHE STRING "Products of bfloat16 by oneDNN: ON, OFF, or AUTO when it is found")
set(CZ_HAVE_ONEDNN OFF)
add_library(cz_onednn INTERFACE)
if(CZ_ONEDNN AND NOT (CZ_ONEDNN STREQUAL "AUTO" AND NOT CMAKE_C_COMPILER_ID STREQUAL "GNU"))
  find_library(CZ_ONEDNN_LIB dnnl)
  find_path(CZ_ONEDNN_INCLUDE dnnl.h)
  if(CZ_ONEDNN_LIB AND CZ_ONEDNN_INCLUDE)
    set(CZ_HAVE_ONEDNN ON)
    target_link_libraries(cz_onednn INTERFACE ${CZ_ONEDNN_LIB})
    target_include_directories(cz_onednn SYSTEM INTERFACE ${CZ_ONEDNN_INCLUDE})
    target_compile_definitions(cz_onednn INTERFACE CZ_HAVE_ONEDNN=1)
  elseif(NOT CZ_ONEDNN STREQUAL "AUTO")
    cz_need(libdnnl-dev CZ_ONEDNN_LIB CZ_ONEDNN_INCLUDE)
  endif()
endif()

add_library(cz_hdf5 INTERFACE)
target_link_libraries(cz_hdf5 INTERFACE ${HDF5_C_LIBRARIES})
target_include_directories(cz_hdf5 SYSTEM INTERFACE ${HDF5_C_INCLUDE_DIRS})

set(CZ_HAVE_MPI OFF)
if(CZ_MPI)
  find_package(MPI QUIET COMPONENTS C)
  if(MPI_C_FOUND)
    set(CZ_HAVE_MPI ON)
  endif()
endif()

function(cz_print_summary)
  message(STATUS
      "cloze ${PROJECT_VERSION} (${CMAKE_BUILD_TYPE}), "
      "${CMAKE_C_COMPILER_ID} ${CMAKE_C_COMPILER_VERSION}")
  message(STATUS "  BLAS       ${CZ_BLAS_LIB}")
  message(STATUS "  oneDNN     ${CZ_HAVE_ONEDNN}")
  message(STATUS "  HDF5       ${HDF5_VERSION}")
  message(STATUS "  MPI        ${CZ_HAVE_MPI} ${MPI_C_VERSION}")
  cz_cuda_summary()
  message(STATUS "  sanitizers ${CZ_SANITIZE}")
endfunction()
