/* fuzz_requests.c - any bytes as calls of any RPC, one after the other, by callers of every role. An input is a row of
 * calls: method (sum of its name's letters, 2 bytes), role, length (2 bytes), message; numbers are little-endian. Holds:
 * see daemon_bed.h.
 */
#include "daemon_bed.h"

#include "service/access.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bed_begin();
    for (int calls = 0; size >= 5 && calls < 16; calls++) {
        size_t method = bed_method_by_sum(data[0] | (unsigned)data[1] << 8);
        size_t len = data[3] | (size_t)data[4] << 8;
        int role = data[2] % ROLES;
        data += 5;
        size -= 5;
        len = len < size ? len : size;
        bed_call_bytes(method, role, data, len);
        data += len;
        size -= len;
    }
    bed_end();
    return 0;
}
