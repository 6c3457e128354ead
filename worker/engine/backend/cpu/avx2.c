/* avx2.c - the cpu kernels for AVX2 and FMA; flags in engine/backend/CMakeLists.txt. */
#define CPU_TABLE cpu_avx2
#define CPU_NAME "cpu-avx2"
#include "engine/backend/cpu/kernels.inc"
