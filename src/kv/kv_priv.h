/* kv/kv_priv.h: the insides of the index wrapper. Only for src/kv. */
#ifndef KV_KV_PRIV_H
#define KV_KV_PRIV_H
#include <leveldb/c.h>

#include "kv/kv.h"

struct kv {
    leveldb_t *db;
    char *path;
    leveldb_options_t *options;
    leveldb_readoptions_t *read;
    leveldb_writeoptions_t *write; /* sync off, always */
    leveldb_cache_t *cache;
    leveldb_filterpolicy_t *filter;
};
struct kv_batch {
    leveldb_writebatch_t *b;
};
struct kv_snap {
    const leveldb_snapshot_t *snap;
    leveldb_readoptions_t *read;
};
struct kv_iter {
    leveldb_iterator_t *it;
};

/* LevelDB's error text, which is freed, into a status. */
enum status kv_fail(struct err *e, const char *what, char *text);
#endif
