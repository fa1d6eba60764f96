/* couch/doc_ids.c: document ids: CouchDB's rules for them, and making new ones. Any thread; the
 * generator has its own lock. */
#include "base/digest.h"
#include "base/mutex.h"
#include "base/text.h"
#include "couch/doc_priv.h"
#include "couch/doc_write.h"

#define ILLEGAL "illegal_docid"

struct slice doc_clip(struct slice s, size_t max)
{
    size_t n = 0;

    while (n < s.n && n < max && (unsigned char)s.p[n] >= 0x20)
        n++;
    if (n < s.n)
        while (n > 0 && ((unsigned char)s.p[n] & 0xC0) == 0x80)
            n--;
    return slice_of(s.p, n);
}

/* Of an id that starts with an underscore. */
static enum status reserved_check(struct slice id, struct err *e)
{
    if (slice_eq(id, SLICE_LIT("_design/")) || slice_eq(id, LOCAL_PREFIX))
        return err_word(e, ST_BAD_REQUEST, ILLEGAL, "Illegal document id `%.*s`", (int)id.n, id.p);
    if (slice_starts(id, SLICE_LIT("_design/")) || slice_starts(id, LOCAL_PREFIX))
        return ST_OK;
    return err_word(e, ST_BAD_REQUEST, ILLEGAL,
                    "Only reserved document ids may start with underscore.");
}

enum status doc_id_check(struct slice id, struct err *e)
{
    if (id.n == 0)
        return err_word(e, ST_BAD_REQUEST, ILLEGAL, "Document id must not be empty");
    if (id.n > LIMIT_DOCID_BYTES)
        return err_word(e, ST_BAD_REQUEST, ILLEGAL, "Document id is too long");
    if (!utf8_valid(id))
        return err_word(e, ST_BAD_REQUEST, ILLEGAL, "Document id must be valid UTF-8");
    return id.p[0] == '_' ? reserved_check(id, e) : ST_OK;
}

/* ---- new ids ---- */

/* 13 random bytes of this process, then a counter of 24 bits in steps of a random size: ids made
 * one after the other lie close together in the index, and two processes do not meet. */
enum { PREFIX_BYTES = 13, TAIL_MAX = 0xfff000, STEP_MAX = 0xffe };
static struct {
    struct mutex mu;
    unsigned char prefix[PREFIX_BYTES];
    uint32_t tail;
    bool ready;
    uint64_t noise;
} uuids;
static pthread_once_t uuids_once = PTHREAD_ONCE_INIT;

static void uuids_init(void)
{
    mutex_init(&uuids.mu, RANK_LEAF);
    random_bytes(&uuids.noise, sizeof uuids.noise);
}

static uint32_t uuid_step(void)
{
    /* xorshift64*: spreads the tails, guards nothing. */
    uint64_t x = uuids.noise | 1;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    uuids.noise = x;
    return (uint32_t)((x * 0x2545F4914F6CDD1Du) >> 40) % STEP_MAX + 1;
}

void doc_uuid(char out[33])
{
    unsigned char id[16];

    pthread_once(&uuids_once, uuids_init);
    mutex_lock(&uuids.mu);
    if (!uuids.ready || uuids.tail >= TAIL_MAX) {
        random_bytes(uuids.prefix, sizeof uuids.prefix);
        uuids.tail = 0;
        uuids.ready = true;
    }
    uuids.tail += uuid_step();
    memcpy(id, uuids.prefix, PREFIX_BYTES);
    id[13] = (unsigned char)(uuids.tail >> 16);
    id[14] = (unsigned char)(uuids.tail >> 8);
    id[15] = (unsigned char)uuids.tail;
    mutex_unlock(&uuids.mu);
    hex_encode(id, sizeof id, out);
    out[32] = '\0';
}
