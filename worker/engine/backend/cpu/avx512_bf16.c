/* avx512_bf16.c - the cpu kernels for AVX-512 with its BF16 instructions: products of layers and of attention round their operands to
 * bfloat16 and add up in float; everything else is as in avx512.c. Of the float build alone; flags in engine/backend/CMakeLists.txt. */
#define CPU_BF16
#define CPU_TABLE cpu_bf16
#define CPU_NAME "cpu-bf16"
#include "engine/backend/cpu/kernels.inc"
