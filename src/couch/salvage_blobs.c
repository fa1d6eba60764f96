/* couch/salvage_blobs.c: blobs that no document names, after damage: a record that is lost may have
 * named them, so they are moved to DATA/<n>/quarantine and not collected. Threads: the opener,
 * before anybody is served and before the compactor runs.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "couch/store_priv.h"
#include "wal/seg_file.h"

enum { PATH_BYTES = 4096 };

enum status salvage_keep_blobs(struct store *s, bool damaged, unsigned long long *kept,
                               struct err *e)
{
    char path[PATH_BYTES];
    struct obj_info *v = NULL;
    size_t n = 0;
    enum status st;

    if (snprintf(path, sizeof(path), "%s/quarantine", s->dir) >= PATH_BYTES)
        return err_set(e, ST_BAD_REQUEST, "the path of the data is too long");
    /* With a folder of this name an earlier salvage mended the log, and may not have come here. */
    if (!damaged && !fs_exists(path))
        return ST_OK;
    st = ss_status(s->segs->ops->obj_list(s->segs, s->number, &v, &n, e));
    for (size_t i = 0; i < n && st == ST_OK; i++) {
        bool has = true;

        if (v[i].finished && seg_is_blob(v[i].id))
            st = blobs_has_rows(s->kv, v[i].id, &has, e);
        if (st != ST_OK || has)
            continue;
        st = seg_file_set_aside_obj(s->segs, s->number, v[i].id, e);
        *kept += st == ST_OK;
    }
    mem_free(v);
    return st;
}
