/* wal/backup_sweep.c: takes out of a backup's folder what the newest manifest does not name: older
 * manifests first, then files. Before a first manifest: everything that a backup made. What stays
 * because of an error goes after the next backup.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/map.h"
#include "base/text.h"
#include "wal/backup_priv.h"

struct sweeper {
    const char *dest;
    struct map *keep; /* names below dest */
    const char *sub;  /* "" or "0/" or "0/log/" */
    uint64_t *removed;
};

static enum status sweep_one(void *arg, const char *name);

static void sweep_dir(struct sweeper *s, const char *name)
{
    char inner[BACKUP_NAME], path[BACKUP_PATH];
    struct sweeper in = *s;
    struct err e;

    if (snprintf(inner, sizeof(inner), "%s%s/", s->sub, name) >= BACKUP_NAME)
        return;
    in.sub = inner;
    if (backup_path(path, s->dest, inner, &e) == ST_OK &&
        fs_list(path, sweep_one, &in, &e) == ST_OK)
        (void)rmdir(path); /* goes when it is empty */
}

static bool is_dir(const struct sweeper *s, const char *name)
{
    uint64_t number;

    if (s->sub[0] == '\0')
        return parse_u64(slice_str(name), &number);
    return strcmp(name, "log") == 0 || strcmp(name, "blob") == 0;
}

static bool is_ours(const struct sweeper *s, const char *name)
{
    return s->sub[0] != '\0' || strncmp(name, "local.ini-", 10) == 0 ||
           strncmp(name, "MANIFEST.", 9) == 0;
}

static enum status sweep_one(void *arg, const char *name)
{
    struct sweeper *s = arg;
    char full[BACKUP_NAME * 3], path[BACKUP_PATH];
    struct err e;

    if (is_dir(s, name)) {
        sweep_dir(s, name);
        return ST_OK;
    }
    (void)snprintf(full, sizeof(full), "%s%.250s", s->sub, name);
    if (is_ours(s, name) && map_get(s->keep, slice_str(full)) == NULL &&
        backup_path(path, s->dest, full, &e) == ST_OK && unlink(path) == 0 &&
        strncmp(name, "MANIFEST.", 9) != 0)
        ++*s->removed;
    return ST_OK;
}

static enum status old_manifest(void *arg, const char *name)
{
    return strncmp(name, "MANIFEST.", 9) == 0 ? sweep_one(arg, name) : ST_OK;
}

static enum status see_manifest(void *arg, const char *name)
{
    bool *any = arg;

    *any = *any || strncmp(name, "MANIFEST.", 9) == 0;
    return ST_OK;
}

bool backup_may_sweep(const char *dest, const struct backup_manifest *before)
{
    bool any = false;
    struct err e;

    return before->generation != 0 || (fs_list(dest, see_manifest, &any, &e) == ST_OK && !any);
}

void backup_sweep(const char *dest, const struct backup_manifest *m, uint64_t *removed)
{
    struct sweeper s = {.dest = dest, .keep = map_new(), .sub = "", .removed = removed};
    char name[BACKUP_NAME];
    struct err e;

    for (size_t i = 0; i < m->n; i++) {
        backup_name(&m->v[i], name);
        (void)map_put(s.keep, slice_str(name), &s);
    }
    (void)snprintf(name, sizeof(name), "MANIFEST.%016llx", (unsigned long long)m->generation);
    (void)map_put(s.keep, slice_str(name), &s);
    /* A manifest that may still be there after a crash needs its files: so they go after it. */
    if (fs_list(dest, old_manifest, &s, &e) == ST_OK && fs_sync_dir(dest, &e) == ST_OK)
        (void)(fs_list(dest, sweep_one, &s, &e) == ST_OK);
    map_free(s.keep);
}
