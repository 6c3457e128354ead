/* backend.c - the backends of this build, by name. */
#include "engine/backend/backend.h"

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
static const struct backend cpu = {
    .name = "cpu",
    .memory = &memory_host,
#define KERNEL(name, args) .name = ref_##name,
#include "engine/backend/kernel.def"
#undef KERNEL
};

static const struct backend *const all[] = {&ref, &cpu};

int backend_count(void)
{
    return (int)(sizeof all / sizeof *all);
}

const struct backend *backend_at(int i)
{
    return all[i];
}

const struct backend *backend_find(const char *name)
{
    for (int i = 0; i < backend_count(); i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}

int64_t attention_scratch(const struct attention_dims *d)
{
    (void)d;
    return 0;
}

void backend_set_threads(int threads)
{
    (void)threads;
}

const char *backend_describe(const struct backend *be)
{
    return be->name;
}
