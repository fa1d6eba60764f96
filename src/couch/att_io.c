/* couch/att_io.c: attachments as streams; see att_io.h. What is written stays in memory up to
 * LIMIT_ATT_INLINE bytes, then a blob takes it. Threads: workers, one at a time per handle.
 */
#include "couch/att_io.h"

#include "base/alloc.h"
#include "base/digest.h"
#include "couch/doc_read.h"
#include "couch/store_priv.h"

enum { READ_STEP = 1 << 20 };

/* ---- writing ---- */

struct att_writer {
    struct blobs *blobs; /* referenced */
    uint64_t max, len, id;
    struct buf head;        /* what came before there was a blob */
    struct blob_writer *to; /* NULL: all is in head, or it is finished */
    bool pinned;
};

enum status att_writer_open(struct db *db, uint64_t max, struct att_writer **out, struct err *e)
{
    struct att_writer *w = mem_zalloc(sizeof(*w));

    (void)e;
    w->blobs = blobs_ref(db->store->blobs);
    w->max = max;
    buf_init(&w->head, LIMIT_ATT_INLINE);
    *out = w;
    return ST_OK;
}

static enum status begin_blob(struct att_writer *w, struct err *e)
{
    TRY(blobs_take_id(w->blobs, &w->id, e));
    w->pinned = true;
    TRY(blob_create(blobs_home(w->blobs), w->id, &w->to, e));
    TRY(blob_add(w->to, buf_slice(&w->head), e));
    buf_free(&w->head);
    return ST_OK;
}

enum status att_writer_add(struct att_writer *w, struct slice bytes, struct err *e)
{
    if (bytes.n > w->max - w->len)
        return err_word(e, ST_TOO_LARGE, "attachment_too_large",
                        "an attachment may have %llu bytes", (unsigned long long)w->max);
    w->len += bytes.n;
    if (w->to == NULL && w->len <= LIMIT_ATT_INLINE) {
        buf_add(&w->head, bytes);
        return ST_OK;
    }
    if (w->to == NULL)
        TRY(begin_blob(w, e));
    return blob_add(w->to, bytes, e);
}

uint64_t att_writer_len(const struct att_writer *w)
{
    return w->len;
}

enum status att_writer_finish(struct att_writer *w, struct arena *a, struct att *att, struct err *e)
{
    struct blob_ref ref;

    att->stored_len = att->len = w->len;
    att->encoding = ATT_IDENTITY;
    if (w->to == NULL) {
        att->data = arena_dup(a, buf_slice(&w->head));
        md5(att->data.p, att->data.n, att->md5);
        return ST_OK;
    }
    TRY(blob_finish(w->to, &ref, e));
    blobs_finished(w->blobs, w->id, ref.len);
    blob_writer_free(w->to); /* a request may have a thousand that wait for their commit */
    w->to = NULL;
    att->data = (struct slice){0};
    att->ptr = (struct seg_ptr){.seg = ref.id, .crc = ref.crc};
    memcpy(att->md5, ref.md5, sizeof(att->md5));
    return ST_OK;
}

void att_writer_free(struct att_writer *w)
{
    if (w == NULL)
        return;
    blob_writer_free(w->to);
    if (w->pinned)
        blobs_unpin(w->blobs, w->id);
    blobs_unref(w->blobs);
    buf_free(&w->head);
    mem_free(w);
}

static void free_writer(void *arg)
{
    att_writer_free(arg);
}

enum status att_store_large(struct db *db, struct arena *a, struct att *t, struct err *e)
{
    struct att_writer *w;
    struct att stored = {0};

    if (t->data.n <= LIMIT_ATT_INLINE)
        return ST_OK;
    TRY(att_writer_open(db, UINT64_MAX, &w, e));
    arena_defer(a, free_writer, w);
    TRY(att_writer_add(w, t->data, e));
    TRY(att_writer_finish(w, a, &stored, e));
    t->data = (struct slice){0};
    t->ptr = stored.ptr;
    return ST_OK;
}

/* ---- reading ---- */

struct att_reader {
    struct blobs *blobs; /* referenced, when it is a blob */
    struct blob_reader *from;
    uint64_t id;
    struct slice all; /* one that lies in the log */
    struct buf bytes;
};

static enum status open_blob(struct db *db, const struct att *att, struct att_reader *r,
                             struct err *e)
{
    struct blob_ref ref = {.id = att->ptr.seg, .len = att->stored_len, .crc = att->ptr.crc};
    struct blobs *b = db->store->blobs;
    enum status st;

    TRY(blobs_pin(b, ref.id, e));
    st = blob_open(blobs_home(b), &ref, &r->from, e);
    if (st != ST_OK) {
        blobs_unpin(b, ref.id);
        return st;
    }
    r->id = ref.id;
    r->blobs = blobs_ref(b);
    return ST_OK;
}

enum status att_reader_open(struct db *db, const struct att *att, struct att_reader **out,
                            struct err *e)
{
    struct att_reader *r = mem_zalloc(sizeof(*r));
    enum status st;

    buf_init(&r->bytes, LIMIT_RECORD_BYTES); /* from before there were blobs they may be large */
    if (seg_is_blob(att->ptr.seg))
        st = open_blob(db, att, r, e);
    else
        st = doc_att_data(db, att, &r->bytes, e);
    r->all = buf_slice(&r->bytes);
    if (st != ST_OK) {
        att_reader_close(r);
        return st;
    }
    *out = r;
    return ST_OK;
}

enum status att_reader_read(struct att_reader *r, uint64_t off, size_t n, struct buf *out,
                            struct err *e)
{
    if (r->from != NULL)
        return blob_read(r->from, off, n, out, e);
    if (off < r->all.n) {
        if (n > r->all.n - off)
            n = (size_t)(r->all.n - off);
        buf_append(out, r->all.p + off, n);
    }
    return buf_ok(out) ? ST_OK : err_set(e, ST_TOO_LARGE, "more bytes than may be read at once");
}

void att_reader_close(struct att_reader *r)
{
    if (r == NULL)
        return;
    blob_close(r->from);
    if (r->blobs != NULL)
        blobs_unpin(r->blobs, r->id);
    blobs_unref(r->blobs);
    buf_free(&r->bytes);
    mem_free(r);
}

enum status att_read_all(struct db *db, const struct att *att, struct buf *out, struct err *e)
{
    struct att_reader *r;
    enum status st = ST_OK;

    if (att->stored_len > out->max - out->n)
        return err_word(e, ST_TOO_LARGE, "attachment_too_large", "the attachment is too large");
    TRY(att_reader_open(db, att, &r, e));
    buf_reserve(out, att->stored_len);
    for (uint64_t off = 0; off < att->stored_len && st == ST_OK; off += READ_STEP)
        st = att_reader_read(r, off, READ_STEP, out, e);
    att_reader_close(r);
    return st;
}
