/* status.c - the only switch between enum status and gRPC's codes. */
#include "rpc/rpc.h"

#include <grpc/status.h>

int rpc_wire_code(enum status st)
{
    switch (st) {
    case ST_OK:
        return GRPC_STATUS_OK;
    case ST_INVALID:
        return GRPC_STATUS_INVALID_ARGUMENT;
    case ST_NOT_FOUND:
        return GRPC_STATUS_NOT_FOUND;
    case ST_EXISTS:
        return GRPC_STATUS_ALREADY_EXISTS;
    case ST_STATE:
        return GRPC_STATUS_FAILED_PRECONDITION;
    case ST_LIMIT:
    case ST_NOMEM:
        return GRPC_STATUS_RESOURCE_EXHAUSTED;
    case ST_DENIED:
        return GRPC_STATUS_PERMISSION_DENIED;
    case ST_UNAVAILABLE:
        return GRPC_STATUS_UNAVAILABLE;
    case ST_TIMEOUT:
        return GRPC_STATUS_DEADLINE_EXCEEDED;
    case ST_CANCELLED:
        return GRPC_STATUS_CANCELLED;
    case ST_CORRUPT:
        return GRPC_STATUS_DATA_LOSS;
    case ST_UNSUPPORTED:
        return GRPC_STATUS_UNIMPLEMENTED;
    case ST_IO:
    case ST_NUMERIC:
    case ST_INTERNAL:
    case STATUS_COUNT:
        break;
    }
    return GRPC_STATUS_INTERNAL;
}

enum status rpc_status_of(int wire_code)
{
    switch (wire_code) {
    case GRPC_STATUS_OK:
        return ST_OK;
    case GRPC_STATUS_INVALID_ARGUMENT:
    case GRPC_STATUS_OUT_OF_RANGE:
        return ST_INVALID;
    case GRPC_STATUS_NOT_FOUND:
        return ST_NOT_FOUND;
    case GRPC_STATUS_ALREADY_EXISTS:
        return ST_EXISTS;
    case GRPC_STATUS_FAILED_PRECONDITION:
    case GRPC_STATUS_ABORTED:
        return ST_STATE;
    case GRPC_STATUS_RESOURCE_EXHAUSTED:
        return ST_LIMIT;
    case GRPC_STATUS_PERMISSION_DENIED:
    case GRPC_STATUS_UNAUTHENTICATED:
        return ST_DENIED;
    case GRPC_STATUS_UNAVAILABLE:
        return ST_UNAVAILABLE;
    case GRPC_STATUS_DEADLINE_EXCEEDED:
        return ST_TIMEOUT;
    case GRPC_STATUS_CANCELLED:
        return ST_CANCELLED;
    case GRPC_STATUS_DATA_LOSS:
        return ST_CORRUPT;
    case GRPC_STATUS_UNIMPLEMENTED:
        return ST_UNSUPPORTED;
    default:
        return ST_INTERNAL;
    }
}
