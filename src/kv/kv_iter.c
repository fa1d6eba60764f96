/* kv/kv_iter.c: iterators over the index. An open one pins tables on disk: they are for one
 * request, not for longer. */
#include "base/alloc.h"
#include "kv/kv_priv.h"

struct kv_iter *kv_iter_new(struct kv *kv, const struct kv_snap *snap)
{
    struct kv_iter *it = mem_zalloc(sizeof *it);

    it->it = leveldb_create_iterator(kv->db, snap != NULL ? snap->read : kv->read);
    return it;
}

void kv_iter_free(struct kv_iter *it)
{
    if (it == NULL)
        return;
    leveldb_iter_destroy(it->it);
    mem_free(it);
}

void kv_iter_seek(struct kv_iter *it, struct slice key)
{
    leveldb_iter_seek(it->it, key.p, key.n);
}

void kv_iter_seek_before(struct kv_iter *it, struct slice key)
{
    leveldb_iter_seek(it->it, key.p, key.n);
    if (leveldb_iter_valid(it->it))
        leveldb_iter_prev(it->it);
    else
        leveldb_iter_seek_to_last(it->it);
}

bool kv_iter_valid(const struct kv_iter *it)
{
    return leveldb_iter_valid(it->it) != 0;
}

void kv_iter_next(struct kv_iter *it)
{
    leveldb_iter_next(it->it);
}

void kv_iter_prev(struct kv_iter *it)
{
    leveldb_iter_prev(it->it);
}

struct slice kv_iter_key(const struct kv_iter *it)
{
    size_t n;
    const char *p = leveldb_iter_key(it->it, &n);

    return slice_of(p, n);
}

struct slice kv_iter_value(const struct kv_iter *it)
{
    size_t n;
    const char *p = leveldb_iter_value(it->it, &n);

    return slice_of(p, n);
}

enum status kv_iter_error(const struct kv_iter *it, struct err *e)
{
    char *text = NULL;

    leveldb_iter_get_error(it->it, &text);
    return text == NULL ? ST_OK : kv_fail(e, "iterate", text);
}
