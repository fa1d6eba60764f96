/* tests/fuzz/fuzz_http_ranges.c: the input is a length (8 bytes) and a Range header. What comes out
 * lies within the length; a longer attachment makes no range that fitted shorter or invalid.
 */
#include <stdint.h>

#include "base/assert.h"
#include "http/ranges.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct range r[RANGES_MAX], more[RANGES_MAX];
    struct slice value;
    uint64_t len;
    uint32_t n, m;

    if (size < sizeof(len))
        return 0;
    memcpy(&len, data, sizeof(len));
    len >>= 1;
    value = slice_of(data + sizeof(len), size - sizeof(len));
    if (ranges_parse(value, len, r, &n) != RANGES_SOME)
        return 0;
    ASSERT(n != 0 && n <= RANGES_MAX);
    ASSERT(ranges_parse(value, len + 1, more, &m) == RANGES_SOME && m == n);
    for (uint32_t i = 0; i < n; i++) {
        ASSERT(r[i].n != 0 && r[i].from < len && r[i].n <= len - r[i].from);
        ASSERT(more[i].n >= r[i].n && more[i].n <= r[i].n + 1);
    }
    return 0;
}
