/* wal/seg_store.c: what every segment store shares: pointers, statuses, the choice by URI. */
#include "wal/seg_store.h"

#include "base/bytes.h"
#include "base/text.h"
#include "wal/seg_file.h"
#include "wal/seg_mem.h"

void seg_ptr_put(unsigned char out[SEG_PTR_BYTES], const struct seg_ptr *p)
{
    put_le64(out, p->seg);
    put_le32(out + 8, p->off);
    put_le32(out + 12, p->len);
    put_le32(out + 16, p->crc);
}

struct seg_ptr seg_ptr_get(const unsigned char in[SEG_PTR_BYTES])
{
    return (struct seg_ptr){get_le64(in), get_le32(in + 8), get_le32(in + 12), get_le32(in + 16)};
}

enum status ss_status(enum ss_rc rc)
{
    switch (rc) {
    case SS_OK:
        return ST_OK;
    case SS_FENCED:
        return ST_UNAVAILABLE;
    case SS_NOSPC:
        return ST_NO_SPACE;
    case SS_CORRUPT:
        return ST_CORRUPT;
    case SS_NOENT:
        return ST_NOT_FOUND;
    case SS_EXISTS:
        return ST_EXISTS;
    case SS_UNKNOWN:
    case SS_IO:
        return ST_IO;
    }
    return ST_IO;
}

enum status seg_store_open(const char *uri, struct seg_store **out, struct err *e)
{
    struct slice s = slice_str(uri), mem = SLICE_LIT("mem:seed=");
    uint64_t seed;

    if (slice_starts(s, SLICE_LIT("file:")) && s.n > 5) {
        *out = seg_file_new(uri + 5);
        return ST_OK;
    }
    if (slice_starts(s, mem) && parse_u64(slice_of(s.p + mem.n, s.n - mem.n), &seed)) {
        *out = seg_mem_new(seed);
        return ST_OK;
    }
    return err_set(e, ST_BAD_REQUEST, "segment store \"%s\": file:DIR or mem:seed=N", uri);
}
