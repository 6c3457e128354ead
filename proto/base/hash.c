/* hash.c - see hash.h. */
#include "base/hash.h"

#include <openssl/evp.h>

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct hash {
    EVP_MD_CTX *md;
};

struct hash *hash_create(void)
{
    struct hash *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->md = EVP_MD_CTX_new();
    if (!h->md || !EVP_DigestInit_ex(h->md, EVP_sha256(), NULL)) {
        hash_destroy(h);
        return NULL;
    }
    return h;
}

void hash_add(struct hash *h, const void *data, size_t len)
{
    EVP_DigestUpdate(h->md, data, len);
}

static void to_hex(char ret_hex[HASH_HEX_SIZE], const unsigned char digest[32])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 32; i++) {
        ret_hex[2 * i] = digits[digest[i] >> 4];
        ret_hex[2 * i + 1] = digits[digest[i] & 15];
    }
    ret_hex[64] = '\0';
}

void hash_finish(struct hash *h, char ret_hex[HASH_HEX_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_DigestFinal_ex(h->md, digest, NULL);
    to_hex(ret_hex, digest);
}

void hash_destroy(struct hash *h)
{
    if (!h)
        return;
    EVP_MD_CTX_free(h->md);
    free(h);
}

void hash_bytes(char ret_hex[HASH_HEX_SIZE], const void *data, size_t len)
{
    unsigned char digest[EVP_MAX_MD_SIZE] = {0};
    EVP_Digest(data, len, digest, NULL, EVP_sha256(), NULL);
    to_hex(ret_hex, digest);
}

enum status hash_file(char ret_hex[HASH_HEX_SIZE], const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, "cannot open %s", path);
    struct hash *h = hash_create();
    enum status st = h ? ST_OK : err_set(err, ST_NOMEM, "out of memory hashing %s", path);
    char chunk[65536];
    ssize_t n = 0;
    while (st == ST_OK && (n = read(fd, chunk, sizeof chunk)) > 0)
        hash_add(h, chunk, (size_t)n);
    if (n < 0)
        st = err_errno(err, "cannot read %s", path);
    if (st == ST_OK)
        hash_finish(h, ret_hex);
    hash_destroy(h);
    close(fd);
    return st;
}
