/* registry.c - the model families by name. */
#include "engine/model/kind.h"

#include <stdio.h>
#include <string.h>

static const struct model_kind *const kinds[] = {&model_kind_mdetr, NULL};

const struct model_kind *model_kind_find(const char *name)
{
    for (const struct model_kind *const *k = kinds; *k; k++)
        if (strcmp((*k)->name, name) == 0)
            return *k;
    return NULL;
}

static void list(char *to, size_t size)
{
    size_t at = 0;
    for (const struct model_kind *const *k = kinds; *k && at < size; k++)
        at += (size_t)snprintf(to + at, size - at, "%s%s", at ? ", " : "", (*k)->name);
}

enum status model_kind_unknown(const char *name, struct err *err)
{
    char known[128];
    list(known, sizeof known);
    return err_set(err, ST_NOT_FOUND, "no model kind '%s'; there is: %s", name, known);
}
