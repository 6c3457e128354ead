/* method_table.h - a test's server needs the methods that the test is about; a service must be served whole. */
#ifndef TESTS_SUPPORT_METHOD_TABLE_H
#define TESTS_SUPPORT_METHOD_TABLE_H

#include "rpc/rpc.h"

#include <string.h>

#define METHODS_MAX 64

/* Every method of the service: those in `known` with their handlers, the others with `other`, which serves unary and
 * streaming calls alike. Returns how many. */
static inline size_t method_table(struct rpc_method all[METHODS_MAX],
                                  const ProtobufCServiceDescriptor *service,
                                  const struct rpc_method *known, size_t n, rpc_handler_f other)
{
    for (unsigned i = 0; i < service->n_methods; i++) {
        all[i] = (struct rpc_method){service->methods[i].name, RPC_UNARY, other};
        for (size_t k = 0; k < n; k++)
            if (strcmp(known[k].name, service->methods[i].name) == 0)
                all[i] = known[k];
    }
    return service->n_methods;
}

#endif
