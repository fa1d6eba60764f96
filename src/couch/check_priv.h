/* couch/check_priv.h: `divan check`: what check.c and check_blobs.c share. */
#ifndef COUCH_CHECK_PRIV_H
#define COUCH_CHECK_PRIV_H
#include "couch/store_priv.h"

struct check {
    struct store *s;
    uint64_t number; /* of s */
    void (*report)(void *arg, const char *text);
    void *arg;
    void (*out)(void *arg, const char *text); /* the caller's report */
    void *out_arg;
    uint64_t bad;
    struct arena *a; /* of one row */
    struct buf body;
    struct kv_iter *it;
    struct map *blobs; /* those that were read: key as rows have it */
};
__attribute__((format(printf, 2, 3))) void finding(struct check *c, const char *fmt, ...);

/* check_blobs.c: an attachment in a blob: all of it is read, once for all that share it, and there
 * is a row for the document. */
enum status check_blob(struct check *c, uint32_t dbnum, struct slice docid, const struct att *att,
                       struct err *e) MUST_CHECK;
/* Rows 04 whose document does not name the blob. */
enum status check_blob_rows(struct check *c, struct err *e) MUST_CHECK;
#endif
