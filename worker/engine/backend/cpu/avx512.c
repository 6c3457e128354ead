/* avx512.c - the cpu kernels for AVX-512 (F, BW, DQ, VL); flags in engine/backend/CMakeLists.txt. */
#define CPU_TABLE cpu_avx512
#define CPU_NAME "cpu-avx512"
#include "engine/backend/cpu/kernels.inc"
