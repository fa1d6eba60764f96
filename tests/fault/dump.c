/* tests/fault/dump.c: see dump.h. One thread. */
#include "dump.h"

#include "base/digest.h"
#include "base/text.h"
#include "couch/doc_read.h"
#include "couch/keys.h"
#include "couch/local.h"
#include "couch/purge.h"

void dump_leaf_key(struct buf *out, struct slice db, struct slice id, const struct rev *rev)
{
    buf_str(out, "d/");
    buf_add(out, db);
    buf_char(out, '/');
    buf_add(out, id);
    buf_char(out, '/');
    rev_write(out, rev);
}

void dump_leaf_value(struct buf *out, bool deleted, const struct doc_body *body)
{
    buf_printf(out, "%s %08x", deleted ? "deleted" : "live", crc32c(0, body->json.p, body->json.n));
    for (uint32_t i = 0; i < body->natts; i++) {
        char hex[33];

        hex_encode(body->atts[i].md5, 16, hex);
        buf_printf(out, " %.*s:%llu:%.32s", (int)body->atts[i].name.n, body->atts[i].name.p,
                   (unsigned long long)body->atts[i].stored_len, hex);
    }
}

void dump_local_value(struct buf *out, uint64_t n, struct slice json)
{
    buf_printf(out, "0-%llu %08x", (unsigned long long)n, crc32c(0, json.p, json.n));
}

void dump_purge_key(struct buf *out, struct slice db, uint64_t purge_seq)
{
    buf_str(out, "p/");
    buf_add(out, db);
    buf_printf(out, "/%08llu", (unsigned long long)purge_seq);
}

void dump_purge_value(struct buf *out, struct slice id, const struct rev *revs, uint32_t n)
{
    buf_add(out, id);
    for (uint32_t i = 0; i < n; i++) {
        buf_char(out, ' ');
        rev_write(out, &revs[i]);
    }
}

void dump_db_value(struct buf *out, uint64_t revs_limit, struct slice security)
{
    buf_printf(out, "%llu %.*s", (unsigned long long)revs_limit, (int)security.n, security.p);
}

static enum status check_atts(struct db *db, const struct doc_body *body, struct err *e)
{
    struct buf b;
    enum status st = ST_OK;

    buf_init(&b, LIMIT_RECORD_BYTES);
    for (uint32_t i = 0; i < body->natts && st == ST_OK; i++) {
        unsigned char sum[16];

        buf_clear(&b);
        st = doc_att_data(db, &body->atts[i], &b, e);
        if (st != ST_OK)
            break;
        md5(b.p, b.n, sum);
        if (memcmp(sum, body->atts[i].md5, 16) != 0)
            st = err_set(e, ST_CORRUPT, "an attachment does not have its MD5");
    }
    buf_free(&b);
    return st;
}

static enum status dump_doc(struct db *db, struct slice id, struct slice row, struct arena *a,
                            struct buf *out, struct err *e)
{
    struct docinfo d;

    TRY(docinfo_decode(a, row, &d, e));
    for (uint32_t i = 0; i < d.tree.n; i++) {
        const struct revnode *n = &d.tree.nodes[i];
        struct doc_body body;

        if (!n->leaf)
            continue;
        TRY(doc_load_body(db, &n->ptr, a, &body, e));
        TRY(check_atts(db, &body, e));
        dump_leaf_key(out, db_name(db), id, &n->rev);
        buf_char(out, '\t');
        dump_leaf_value(out, n->deleted, &body);
        buf_char(out, '\n');
    }
    return ST_OK;
}

static enum status dump_local(struct db *db, struct slice id, struct slice row, struct arena *a,
                              struct buf *out, struct err *e)
{
    struct slice json;
    struct seg_ptr p;
    bool is_inline;
    uint64_t n;

    TRY(local_row_decode(row, &n, &is_inline, &json, &p, e));
    if (!is_inline) {
        char *bytes = arena_alloc(a, p.len);

        TRY(log_read(store_log(db_store(db)), &p, bytes, e));
        json = slice_of(bytes, p.len);
    }
    buf_str(out, "l/");
    buf_add(out, db_name(db));
    buf_char(out, '/');
    buf_add(out, id);
    buf_char(out, '\t');
    dump_local_value(out, n, json);
    buf_char(out, '\n');
    return ST_OK;
}

static enum status dump_rows(struct db *db, enum key_db_class class, struct buf *out, struct err *e)
{
    struct kv_iter *it = kv_iter_new(store_kv(db_store(db)), NULL);
    struct arena *a = arena_new();
    enum status st = ST_OK;
    struct slice id;

    for (kv_iter_seek(it, key_db(a, db_num(db), class, SLICE_LIT("")));
         st == ST_OK && kv_iter_valid(it) && key_db_rest(kv_iter_key(it), db_num(db), class, &id);
         kv_iter_next(it)) {
        arena_reset(a);
        st = class == KEY_INFO ? dump_doc(db, id, kv_iter_value(it), a, out, e)
                               : dump_local(db, id, kv_iter_value(it), a, out, e);
    }
    if (st == ST_OK)
        st = kv_iter_error(it, e);
    kv_iter_free(it);
    arena_free(a);
    return st;
}

static enum status dump_purges(struct db *db, struct buf *out, struct err *e)
{
    struct purge_walk *w = purge_walk_new(store_kv(db_store(db)), db_num(db), 0);
    struct purge_info p;
    enum status st;
    uint64_t n;
    bool got;

    while ((st = purge_walk_next(w, &n, &p, &got, e)) == ST_OK && got) {
        dump_purge_key(out, db_name(db), n);
        buf_char(out, '\t');
        dump_purge_value(out, p.docid, p.revs, p.nrevs);
        buf_char(out, '\n');
    }
    purge_walk_free(w);
    return st;
}

static enum status dump_db(struct stores *all, struct slice name, struct arena *a, struct buf *out,
                           struct err *e)
{
    struct db *db = NULL;
    enum status st;

    TRY(stores_db(all, name, &db, e));
    buf_str(out, "b/");
    buf_add(out, name);
    buf_char(out, '\t');
    dump_db_value(out, db_revs_limit(db), db_security(db, a));
    buf_char(out, '\n');
    st = dump_rows(db, KEY_INFO, out, e);
    if (st == ST_OK)
        st = dump_rows(db, KEY_LOCAL, out, e);
    if (st == ST_OK)
        st = dump_purges(db, out, e);
    db_release(db);
    return st;
}

enum status dump_stores(struct stores *all, struct buf *out, struct err *e)
{
    struct arena *a = arena_new();
    struct slice *names;
    size_t n = 0;
    enum status st = stores_list(all, a, &names, &n, e);

    for (size_t i = 0; i < n && st == ST_OK; i++)
        st = dump_db(all, names[i], a, out, e);
    arena_free(a);
    if (st == ST_OK && !buf_ok(out))
        st = err_set(e, ST_TOO_LARGE, "the dump is too long");
    return st;
}
