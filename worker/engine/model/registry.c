/* registry.c - the model families by name. */
#include "engine/model/kind.h"

#include <string.h>

static const struct model_kind *const kinds[] = {&model_kind_mdetr};

const struct model_kind *model_kind_find(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i]->name, name) == 0)
            return kinds[i];
    return NULL;
}

const char *model_kind_list(void)
{
    return "mdetr";
}
