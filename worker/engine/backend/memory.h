/* memory.h - host memory as a backend's memory: what ref and cpu share. */
#ifndef ENGINE_MEMORY_H
#define ENGINE_MEMORY_H

#include "engine/backend/backend.h"

extern const struct backend_memory memory_host;

#endif
