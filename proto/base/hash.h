/* hash.h - SHA-256 (libcrypto), as 64 lower-case hex digits. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/err.h"

#include <stddef.h>

#define HASH_HEX_SIZE 65 /* with the NUL */

struct hash; /* an unfinished sum */

struct hash *hash_create(void); /* NULL when out of memory */
void hash_add(struct hash *h, const void *data, size_t len);
void hash_finish(struct hash *h,
                 char ret_hex[HASH_HEX_SIZE]); /* h may only be destroyed after it */
void hash_destroy(struct hash *h);

void hash_bytes(char ret_hex[HASH_HEX_SIZE], const void *data, size_t len);
enum status hash_file(char ret_hex[HASH_HEX_SIZE], const char *path, struct err *err);

#endif
