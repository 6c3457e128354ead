/* boot.c - see boot.h. */
#include "base/boot.h"

#include "base/file.h"

#include <stdio.h>
#include <string.h>

enum status boot_id_read(char ret_id[BOOT_ID_MAX], struct err *err)
{
    struct buf b;
    buf_init(&b, 256);
    enum status st = file_read(&b, "/proc/sys/kernel/random/boot_id", err);
    if (st == ST_OK)
        snprintf(ret_id, BOOT_ID_MAX, "%.*s", (int)strcspn(buf_str(&b), "\n"), buf_str(&b));
    buf_fini(&b);
    return st;
}
