/* registry.c - the model families by name. */
#include "engine/model/kind.h"

#include <stdio.h>
#include <string.h>

static const struct model_kind *const kinds[] = {&model_kind_mdetr};

const struct model_kind *model_kind_find(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i]->name, name) == 0)
            return kinds[i];
    return NULL;
}

static void list(char *to, size_t size)
{
    size_t at = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && at < size; i++)
        at += (size_t)snprintf(to + at, size - at, "%s%s", i ? ", " : "", kinds[i]->name);
}

enum status model_kind_unknown(const char *name, struct err *err)
{
    char known[128];
    list(known, sizeof known);
    return err_set(err, ST_NOT_FOUND, "no model kind '%s'; there is: %s", name, known);
}
