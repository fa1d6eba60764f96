/* wal/store_slot.c: encodes, decodes and chooses STORE slots; see store_slot.h. Pure. */
#include "wal/store_slot.h"

#include "base/bytes.h"
#include "base/digest.h"

static const char MAGIC[8] = {'D', 'V', 'S', 'T', 'O', 'R', 'E', 1};
enum { AT_CRC = 12, AT_REST = 16 };

void store_slot_put(unsigned char out[STORE_SLOT_BYTES], const struct store_slot *s)
{
    memset(out, 0, STORE_SLOT_BYTES);
    memcpy(out, MAGIC, sizeof MAGIC);
    put_le32(out + 8, STORE_VERSION);
    memcpy(out + 16, s->uuid, sizeof s->uuid);
    put_le64(out + 32, s->generation);
    put_le64(out + 40, s->epoch);
    put_le64(out + 48, s->replay_hint_seg);
    put_le64(out + 56, s->tail_hint_seg);
    out[64] = s->clean;
    put_le64(out + 88, s->created_ms);
    put_le32(out + AT_CRC, crc32c(0, out + AT_REST, STORE_SLOT_USED - AT_REST));
}

enum status store_slot_get(const unsigned char in[STORE_SLOT_BYTES], struct store_slot *s,
                           struct err *e)
{
    if (memcmp(in, MAGIC, sizeof MAGIC) != 0)
        return err_set(e, ST_CORRUPT, "STORE: not a slot");
    if (get_le32(in + AT_CRC) != crc32c(0, in + AT_REST, STORE_SLOT_USED - AT_REST))
        return err_set(e, ST_CORRUPT, "STORE: slot checksum");
    if (get_le32(in + 8) != STORE_VERSION || get_le64(in + 72) != 0 || get_le64(in + 80) != 0)
        return err_set(e, ST_NOT_IMPLEMENTED,
                       "STORE: version %u, features %llx and %llx: written by a newer Divan",
                       (unsigned)get_le32(in + 8), (unsigned long long)get_le64(in + 72),
                       (unsigned long long)get_le64(in + 80));
    memcpy(s->uuid, in + 16, sizeof s->uuid);
    s->generation = get_le64(in + 32);
    s->epoch = get_le64(in + 40);
    s->replay_hint_seg = get_le64(in + 48);
    s->tail_hint_seg = get_le64(in + 56);
    s->clean = in[64] == 1;
    s->created_ms = get_le64(in + 88);
    return ST_OK;
}

static bool blank(const unsigned char *p)
{
    for (size_t i = 0; i < STORE_SLOT_BYTES; i++)
        if (p[i] != 0)
            return false;
    return true;
}

enum status store_slot_pick(struct slice file, struct store_slot *s, struct err *e)
{
    bool found = false, lost = false;

    for (size_t i = 0; i < STORE_SLOTS && file.n >= (i + 1) * STORE_SLOT_BYTES; i++) {
        unsigned char bytes[STORE_SLOT_BYTES];
        struct store_slot one = {0};
        enum status st;

        memcpy(bytes, file.p + i * STORE_SLOT_BYTES, sizeof bytes);
        st = store_slot_get(bytes, &one, e);
        if (st == ST_NOT_IMPLEMENTED)
            return st;
        if (st != ST_OK) {
            lost = lost || !blank(bytes);
            continue;
        }
        if (!found || one.generation > s->generation)
            *s = one;
        found = true;
    }
    if (!found)
        return err_set(e, ST_NOT_FOUND, "STORE: no valid slot");
    if (lost) {
        s->clean = false;
        s->epoch++;
    }
    return ST_OK;
}
