/* couch/att_upload.c: see att_upload.h. Entered by workers and by replications. */
#include "couch/att_upload.h"

#include "base/alloc.h"
#include "base/gzip.h"
#include "base/limits.h"
#include "couch/doc_priv.h"
#include "couch/doc_write.h"

struct att_upload {
    uint64_t max;
    struct att_writer *w;
    struct gunzip *gz; /* NULL: plain bytes, or what came is no gzip */
    struct slice name; /* borrowed */
};

enum status att_upload_open(struct db *db, struct slice name, bool gzip, struct att_upload **out,
                            struct err *e)
{
    struct att_upload *u = mem_zalloc(sizeof(*u));
    enum status st;

    u->max = store_max_att(db_store(db));
    st = att_writer_open(db, u->max, &u->w, e);
    if (st != ST_OK) {
        mem_free(u);
        return st;
    }
    u->name = name;
    u->gz = gzip ? gunzip_new() : NULL;
    *out = u;
    return ST_OK;
}

static void not_gzip(struct att_upload *u)
{
    gunzip_free(u->gz);
    u->gz = NULL;
}

enum status att_upload_add(struct att_upload *u, struct slice bytes, struct err *e)
{
    struct slice rest = bytes;

    if (att_writer_len(u->w) + bytes.n > u->max)
        return doc_att_too_large(u->name, e);
    TRY(att_writer_add(u->w, bytes, e));
    if (u->gz == NULL)
        return ST_OK;
    if (!gunzip_run(u->gz, &rest, LIMIT_ATT_INFLATED + 1 - gunzip_len(u->gz), NULL) ||
        gunzip_len(u->gz) > LIMIT_ATT_INFLATED)
        not_gzip(u);
    return ST_OK;
}

enum status att_upload_end(struct att_upload *u, struct arena *a, struct att *att, struct err *e)
{
    TRY(att_writer_finish(u->w, a, att, e));
    att->encoding = ATT_IDENTITY;
    if (u->gz == NULL || !gunzip_ended(u->gz))
        return ST_OK;
    att->encoding = ATT_GZIP;
    att->len = gunzip_len(u->gz);
    not_gzip(u); /* it is; but the inflater's memory is not needed any more */
    return ST_OK;
}

void att_upload_free(struct att_upload *u)
{
    if (u == NULL)
        return;
    att_writer_free(u->w);
    gunzip_free(u->gz);
    mem_free(u);
}
