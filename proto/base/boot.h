/* boot.h - which run of the kernel this is: equal on two sides only if they are one machine that was not restarted between. */
#ifndef BASE_BOOT_H
#define BASE_BOOT_H

#include "base/err.h"

#define BOOT_ID_MAX 40

enum status boot_id_read(char ret_id[BOOT_ID_MAX], struct err *err);

#endif
