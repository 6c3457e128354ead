/* cpu.c - see cpu.h: which table this machine runs. */
#include "engine/backend/cpu/cpu.h"

#include "engine/backend/cpu/blas.h"

#include <string.h>

bool cpu_can_run(const struct backend *be)
{
#if defined(__x86_64__)
    if (be == &cpu_avx512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (be == &cpu_avx2)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return be == &cpu_base;
}

static const struct backend *best(void)
{
#if defined(__x86_64__)
    if (cpu_can_run(&cpu_avx512))
        return &cpu_avx512;
    if (cpu_can_run(&cpu_avx2))
        return &cpu_avx2;
#endif
    return &cpu_base;
}

const char *cpu_best_name(void)
{
    return best()->name + strlen("cpu-");
}

const struct backend *cpu_best(void)
{
    static struct backend cpu;
    if (!cpu.name) {
        blas_init();
        cpu = *best();
        cpu.name = "cpu";
    }
    return &cpu;
}

const struct backend *cpu_rounding(void)
{
#ifdef CPU_HAS_BF16
    if (cpu_can_run(&cpu_avx512) && __builtin_cpu_supports("avx512bf16")) {
        blas_init();
        return &cpu_bf16;
    }
#endif
    return NULL;
}
