# Cross-build for arm64 on another Debian machine, tests included: they run under qemu (docs/howto/build-for-arm64.md).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(triple aarch64-linux-gnu)
set(CMAKE_C_COMPILER ${triple}-gcc)

set(ESPALIER_SYSROOT "" CACHE PATH "Folder with an unpacked arm64 Debian that has Espalier's libraries")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES ESPALIER_SYSROOT)
if(NOT EXISTS ${ESPALIER_SYSROOT}/usr/lib/${triple})
  message(FATAL_ERROR "ESPALIER_SYSROOT '${ESPALIER_SYSROOT}' has no usr/lib/${triple}; docs/howto/build-for-arm64.md says how to make it")
endif()
set(CMAKE_SYSROOT ${ESPALIER_SYSROOT})
set(CMAKE_LIBRARY_ARCHITECTURE ${triple})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
foreach(kind LIBRARY INCLUDE PACKAGE)
  set(CMAKE_FIND_ROOT_PATH_MODE_${kind} ONLY)
endforeach()

# Debian keeps the chosen OpenBLAS, and what else update-alternatives decides, in folders of their own; links are not made by unpacking.
set(libs /usr/lib/${triple})
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${CMAKE_SYSROOT})
set(ENV{PKG_CONFIG_LIBDIR} "${CMAKE_SYSROOT}${libs}/pkgconfig:${CMAKE_SYSROOT}/usr/share/pkgconfig:${CMAKE_SYSROOT}${libs}/openblas-pthread/pkgconfig")
set(hidden "")
foreach(folder openblas-pthread blas lapack)
  string(APPEND hidden " -Wl,-rpath-link,${CMAKE_SYSROOT}${libs}/${folder}")
endforeach()
set(CMAKE_EXE_LINKER_FLAGS_INIT "${hidden}")

# The compiler wrapper of the other architecture cannot be asked, and this machine's must not be.
set(MPI_SKIP_COMPILER_WRAPPER ON)
set(MPI_C_HEADER_DIR ${CMAKE_SYSROOT}${libs}/openmpi/include CACHE PATH "")
set(MPI_C_LIB_NAMES mpi CACHE STRING "")
set(MPI_mpi_LIBRARY ${CMAKE_SYSROOT}${libs}/openmpi/lib/libmpi.so CACHE FILEPATH "")

find_program(ESPALIER_QEMU NAMES qemu-aarch64 qemu-aarch64-static)
if(ESPALIER_QEMU)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${ESPALIER_QEMU} -L ${CMAKE_SYSROOT} -E LD_LIBRARY_PATH=${libs}/openblas-pthread)
endif()
