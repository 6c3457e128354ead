/* base.c - the cpu kernels for the compiler's default instructions; flags in engine/backend/CMakeLists.txt. */
#define CPU_TABLE cpu_base
#define CPU_NAME "cpu-base"
#include "engine/backend/cpu/kernels.inc"
