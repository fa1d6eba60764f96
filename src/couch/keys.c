/* couch/keys.c: LevelDB keys to bytes and back; the table is in keys.h. Pure; any thread. */
#include "couch/keys.h"

#include "base/bytes.h"

enum {
    KEY_STORE = 0x00,
    KEY_CATALOG = 0x01,
    KEY_SEGMENT = 0x02,
    KEY_DROPPING = 0x03,
    KEY_BLOB = 0x04,
    KEY_DB = 0x10
};
enum { DB_PREFIX = 6 /* 10 dbnum(4) class */, BLOB_PREFIX = 13 /* 04 blob(8) dbnum(4) */ };

struct slice key_store(struct arena *a, char what)
{
    char *p = arena_alloc(a, 2);

    p[0] = KEY_STORE;
    p[1] = what;
    return slice_of(p, 2);
}

struct slice key_catalog(struct arena *a, struct slice name)
{
    char *p = arena_alloc(a, 1 + name.n);

    p[0] = KEY_CATALOG;
    if (name.n > 0)
        memcpy(p + 1, name.p, name.n);
    return slice_of(p, 1 + name.n);
}

bool key_catalog_name(struct slice key, struct slice *name)
{
    if (key.n < 2 || key.p[0] != KEY_CATALOG)
        return false;
    *name = slice_of(key.p + 1, key.n - 1);
    return true;
}

struct slice key_segment(struct arena *a, uint64_t seg)
{
    char *p = arena_alloc(a, 9);

    p[0] = KEY_SEGMENT;
    put_be64(p + 1, seg);
    return slice_of(p, 9);
}

struct slice key_dropping(struct arena *a, uint32_t dbnum)
{
    char *p = arena_alloc(a, 5);

    p[0] = KEY_DROPPING;
    put_be32(p + 1, dbnum);
    return slice_of(p, 5);
}

struct slice key_blob(struct arena *a, uint64_t id, uint32_t dbnum, struct slice docid)
{
    char *p = arena_alloc(a, BLOB_PREFIX + docid.n);

    p[0] = KEY_BLOB;
    put_be64(p + 1, id);
    put_be32(p + 9, dbnum);
    if (docid.n > 0)
        memcpy(p + BLOB_PREFIX, docid.p, docid.n);
    return slice_of(p, BLOB_PREFIX + docid.n);
}

bool key_blob_parts(struct slice key, uint64_t *id, uint32_t *dbnum, struct slice *docid)
{
    if (key.n <= BLOB_PREFIX || key.p[0] != KEY_BLOB)
        return false;
    *id = get_be64(key.p + 1);
    *dbnum = get_be32(key.p + 9);
    *docid = slice_of(key.p + BLOB_PREFIX, key.n - BLOB_PREFIX);
    return true;
}

static char *db_key(struct arena *a, uint32_t dbnum, char c, size_t rest)
{
    char *p = arena_alloc(a, DB_PREFIX + rest);

    p[0] = KEY_DB;
    put_be32(p + 1, dbnum);
    p[5] = c;
    return p;
}

struct slice key_db(struct arena *a, uint32_t dbnum, enum key_db_class c, struct slice rest)
{
    char *p = db_key(a, dbnum, (char)c, rest.n);

    if (rest.n > 0)
        memcpy(p + DB_PREFIX, rest.p, rest.n);
    return slice_of(p, DB_PREFIX + rest.n);
}

struct slice key_seq(struct arena *a, uint32_t dbnum, uint64_t seq)
{
    char *p = db_key(a, dbnum, KEY_SEQ, 8);

    put_be64(p + DB_PREFIX, seq);
    return slice_of(p, DB_PREFIX + 8);
}

struct slice key_purge(struct arena *a, uint32_t dbnum, uint64_t purge_seq)
{
    char *p = db_key(a, dbnum, KEY_PURGE, 8);

    put_be64(p + DB_PREFIX, purge_seq);
    return slice_of(p, DB_PREFIX + 8);
}

bool key_purge_seq(struct slice key, uint32_t dbnum, uint64_t *purge_seq)
{
    struct slice rest;

    if (!key_db_rest(key, dbnum, KEY_PURGE, &rest) || rest.n != 8)
        return false;
    *purge_seq = get_be64(rest.p);
    return true;
}

struct slice key_db_end(struct arena *a, uint32_t dbnum, enum key_db_class c)
{
    return slice_of(db_key(a, dbnum, (char)(c + 1), 0), DB_PREFIX);
}

bool key_db_rest(struct slice key, uint32_t dbnum, enum key_db_class c, struct slice *rest)
{
    if (key.n < DB_PREFIX || key.p[0] != KEY_DB || get_be32(key.p + 1) != dbnum ||
        key.p[5] != (char)c)
        return false;
    *rest = slice_of(key.p + DB_PREFIX, key.n - DB_PREFIX);
    return true;
}
