/* couch/keys.h: every LevelDB key, encode and decode side by side (docs/format.md "Keys"). Integers
 * in keys are big-endian, so that they sort.
 *
 *   00 'A'                       applied lsn, epoch
 *   00 'K'                       last barrier
 *   00 'V'                       schema version, store uuid
 *   00 'N'                       next dbnum
 *   00 'G'                       LSNs that compaction took away
 *   01 name                      database: dbnum, uuid, created, props
 *   02 seg(8)                    bytes, live bytes, highest LSN counted (account.h)
 *   03 dbnum(4)                  a dropped database whose rows are still being deleted
 *   04 blob(8) dbnum(4) docid    a leaf of the document has an attachment in that blob (blobs.h)
 *   10 dbnum(4) 'm'              counts, update_seq, revs_limit, security
 *   10 dbnum(4) 'i' docid        doc-info (docinfo.h)
 *   10 dbnum(4) 's' seq(8)       changes row (docinfo.h)
 *   10 dbnum(4) 'l' localid      _local document
 *   10 dbnum(4) 'p' purge_seq(8) what was purged (purge.h)
 */
#ifndef COUCH_KEYS_H
#define COUCH_KEYS_H
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"

enum key_db_class {
    KEY_META = 'm',
    KEY_INFO = 'i',
    KEY_SEQ = 's',
    KEY_LOCAL = 'l',
    KEY_PURGE = 'p'
};

struct slice key_store(struct arena *a, char what);
struct slice key_catalog(struct arena *a, struct slice name);
struct slice key_segment(struct arena *a, uint64_t seg);
struct slice key_dropping(struct arena *a, uint32_t dbnum);
struct slice key_blob(struct arena *a, uint64_t id, uint32_t dbnum, struct slice docid);
/* false: another kind of key. */
bool key_blob_parts(struct slice key, uint64_t *id, uint32_t *dbnum, struct slice *docid);
struct slice key_db(struct arena *a, uint32_t dbnum, enum key_db_class c, struct slice rest);
struct slice key_seq(struct arena *a, uint32_t dbnum, uint64_t seq);
struct slice key_purge(struct arena *a, uint32_t dbnum, uint64_t purge_seq);
/* The number in a 'p' key of that database; false: another key. */
bool key_purge_seq(struct slice key, uint32_t dbnum, uint64_t *purge_seq);
/* The first key after every key of this class of this database. */
struct slice key_db_end(struct arena *a, uint32_t dbnum, enum key_db_class c);
/* What follows dbnum and class, when key is of that database and class. */
bool key_db_rest(struct slice key, uint32_t dbnum, enum key_db_class c, struct slice *rest);
bool key_catalog_name(struct slice key, struct slice *name);
#endif
