/* backend.c - the backends of this build, by name: ref, cpu, and the cpu tables of single instruction sets ("cpu-avx2"), so
 * that tests reach each and a job can name the one it was started with. Those that round, ref-bf16 and cpu-bf16, have a name only. */
#include "engine/backend/backend.h"

#include "engine/backend/cpu/blas.h"
#include "engine/backend/cpu/cpu.h"
#include "engine/backend/cpu/pool.h"
#include "engine/backend/memory.h"
#include "engine/backend/ref/ref.h"

#include <stdio.h>
#include <string.h>

static const struct backend ref = {
    .name = "ref",
    .memory = &memory_host,
#define KERNEL(name, args) .name = ref_##name,
#include "engine/backend/kernel.def"
#undef KERNEL
};

static const struct backend ref_bf16 = {
    .name = "ref-bf16",
    .memory = &memory_host,
#define KERNEL(name, args) .name = ref_##name,
#define ROUNDED(name, args) .name = ref_bf16_##name,
#include "engine/backend/kernel.def"
#undef KERNEL
};

static const struct backend *const levels[] = {
    &cpu_base,
#if defined(__x86_64__)
    &cpu_avx2,
    &cpu_avx512,
#endif
};

#define LEVELS ((int)(sizeof levels / sizeof *levels))

/* The i-th of the tables that this machine can run; NULL past the last. */
static const struct backend *runnable(int i)
{
    for (int level = 0; level < LEVELS; level++)
        if (cpu_can_run(levels[level]) && i-- == 0)
            return levels[level];
    return NULL;
}

const struct backend *backend_at(int i)
{
    if (i == 0)
        return &ref;
    return i == 1 ? cpu_best() : runnable(i - 2);
}

int backend_count(void)
{
    int n = 2;
    while (backend_at(n))
        n++;
    return n;
}

const struct backend *backend_find(const char *name)
{
    if (strcmp(name, ref_bf16.name) == 0)
        return &ref_bf16;
    if (strcmp(name, "cpu-bf16") == 0)
        return cpu_rounding();
    for (int i = 0; i < backend_count(); i++)
        if (strcmp(backend_at(i)->name, name) == 0)
            return backend_at(i);
    return NULL;
}

int64_t attention_scratch(const struct attention_dims *d)
{
    int64_t line = CPU_ROW_BYTES / (int64_t)sizeof(real);
    int64_t keys = (d->Tk + line - 1) / line * line, width = (d->E + line - 1) / line * line;
    return pool_threads() * (2 * keys + 2 * d->E * keys + 3 * d->Tk * width +
                             ATTENTION_ROWS * (3 * width + 4 * keys));
}

int64_t conv_scratch(const struct im2col_dims *d)
{
    return conv_rows(d) * d->wo * d->k * d->k * d->C;
}

void backend_set_threads(int threads)
{
    pool_set_threads(threads);
}

void backend_products(double *ret_operations, double *ret_seconds)
{
    pool_booked(ret_operations, ret_seconds);
}

const char *backend_describe(const struct backend *be)
{
    static char text[192];
    if (be == &ref || be == &ref_bf16)
        return be->name;
    const char *level = be == cpu_best() ? cpu_best_name() : be->name + strlen("cpu-");
    snprintf(text, sizeof text, "cpu %s %s threads=%d", blas_describe(), level, pool_threads());
    return text;
}
