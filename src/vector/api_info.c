/* vector/api_info.c: what an index looks like from outside, compaction, cleanup, offline check.
 * Threads: a worker per request. */
#include <stdio.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/time.h"
#include "vector/vecdb_priv.h"

enum { INFO_WAIT_US = 100000 };

/* ---- info ---- */

struct info {
    uint64_t vectors, docs, dead, disk, ram, seq, pending;
    double building; /* < 0: nothing is */
    uint32_t skipped, nsegs;
    struct vskip sample[VSKIP_SAMPLES];
    struct slice sample_field[VSKIP_SAMPLES];
    uint32_t nsample;
    const struct vseg *largest; /* with a graph; the view pins it */
    uint32_t largest_n;
    struct vview *view[LIMIT_INDEX_FIELDS];
    struct arena *arena;
};

/* Rows of one document stand together in a part. */
static uint64_t count_docs(const struct vpart *p)
{
    uint64_t n = 0, last = 0;

    for (uint32_t i = 0; i < p->n; i++) {
        struct vrow r;

        if (vbits_get(p->dead, i))
            continue;
        vpart_row(p, i, &r);
        n += n == 0 || r.docnum != last;
        last = r.docnum;
    }
    return n;
}

static void segment_row(const struct vpart *p, struct info *in, struct buf *segs)
{
    bool graph = p->seg != NULL && p->seg->graph.n != 0;
    uint32_t dead = p->n - vpart_live(p);

    buf_printf(segs, "%s{\"vectors\":%u,\"kind\":\"%s\",\"bytes\":%llu,\"dead\":%u}",
               in->nsegs++ > 0 ? "," : "", vpart_live(p),
               graph ? "graph" : (p->seg != NULL ? "flat" : "memory"),
               (unsigned long long)(p->seg != NULL ? p->seg->bytes : vmem_bytes(p->mem)), dead);
    in->vectors += vpart_live(p);
    in->docs += count_docs(p);
    in->dead += dead;
    if (graph && vpart_live(p) > in->largest_n) {
        in->largest = p->seg;
        in->largest_n = vpart_live(p);
    }
}

static void take_samples(struct ventry *en, struct arena *a, struct info *in)
{
    struct vskip s[VSKIP_SAMPLES];
    uint32_t n;

    in->skipped += vindex_skipped(en->ix, a, s, &n);
    for (uint32_t i = 0; i < n && in->nsample < VSKIP_SAMPLES; i++) {
        in->sample[in->nsample] = s[i];
        in->sample_field[in->nsample++] = en->field.name;
    }
}

static void add_entry(struct vdb *d, struct ventry *en, const struct vview *v, struct arena *a,
                      struct info *in)
{
    struct vindex_stats st;
    uint64_t seq = db_update_seq(d->db);
    double progress;

    vindex_get_stats(en->ix, &st);
    in->disk += st.disk;
    in->ram += st.ram;
    in->seq = in->seq == 0 || v->seq < in->seq ? v->seq : in->seq;
    in->pending += seq > v->seq ? seq - v->seq : 0;
    mutex_lock(&d->mu);
    progress = en->progress;
    if (!en->live && seq > v->seq)
        progress = (double)v->seq / (double)seq;
    mutex_unlock(&d->mu);
    in->building = progress > in->building ? progress : in->building;
    take_samples(en, a, in);
}

static void write_skipped(const struct info *in, struct buf *out)
{
    buf_printf(out, ",\"skipped\":{\"count\":%u,\"sample\":[", in->skipped);
    for (uint32_t i = 0; i < in->nsample; i++) {
        buf_str(out, i > 0 ? ",{\"id\":" : "{\"id\":");
        json_write_str(out, in->sample[i].id);
        buf_str(out, ",\"field\":");
        json_write_str(out, in->sample_field[i]);
        buf_printf(out, ",\"reason\":\"%s\"}", in->sample[i].reason);
    }
    buf_str(out, "]}");
}

/* at10 is what the effort of a query reached when it was measured; effort 0: too little was
 * reached, so that the rows are scanned. */
static void write_recall(const struct vectors *v, const struct vcurve *c, struct buf *out)
{
    double target = vrecall_target(v), got;
    uint32_t ef = vcurve_ef(c, target, 10);

    got = vcurve_recall(c, ef);
    buf_printf(out,
               ",\"recall\":{\"sampled\":%u,\"target\":%.4f,\"at10\":%.4f,\"reached\":%s,"
               "\"effort\":%u}",
               c->sampled, target, got, got >= target ? "true" : "false",
               ef == VCURVE_SCAN ? 0 : ef);
}

static void write_info(struct vectors *v, struct vdb *d, const struct vdef *def,
                       const struct info *in, struct buf *segs)
{
    char hex[2 * VSEG_SIG + 1];
    struct buf out;

    buf_init(&out, 1u << 24);
    vsig_hex(def->field[0].sig, hex);
    buf_str(&out, "{\"name\":");
    json_write_str(&out, def->name);
    buf_printf(&out, ",\"vector_index\":{\"signature\":\"%s\",\"update_seq\":\"", hex);
    seq_write(&out, d->db, in->seq);
    buf_printf(&out, "\",\"pending\":%llu", (unsigned long long)in->pending);
    if (in->building >= 0)
        buf_printf(&out, ",\"building\":%.3f", in->building);
    buf_printf(&out, ",\"vectors\":%llu,\"docs\":%llu,\"dead\":%llu",
               (unsigned long long)in->vectors, (unsigned long long)in->docs,
               (unsigned long long)in->dead);
    write_skipped(in, &out);
    buf_str(&out, ",\"segments\":[");
    buf_add(&out, buf_slice(segs));
    buf_printf(&out, "],\"disk_size\":%llu,\"ram_size\":%llu", (unsigned long long)in->disk,
               (unsigned long long)in->ram);
    if (in->largest != NULL)
        write_recall(v, &in->largest->curve, &out);
    buf_str(&out, "}}");
    buf_clear(segs);
    buf_add(segs, buf_slice(&out));
    buf_free(&out);
}

static const struct vdef *find_def(const struct vdefs *l, struct slice ddoc, struct slice name,
                                   uint32_t *at)
{
    for (*at = 0; *at < l->n; ++*at) {
        const struct vdef *d = &l->def[*at];
        if (slice_eq(slice_of(d->ddoc.p + 8, d->ddoc.n - 8), ddoc) && slice_eq(d->name, name))
            return d;
    }
    return NULL;
}

/* Fills in and segs from every field of the definition; the views stay pinned in `views`. */
static enum status gather_info(struct vdb *d, const struct vdef *def, struct ventry **entries,
                               struct info *in, struct buf *segs, struct err *e)
{
    for (uint32_t j = 0; j < def->nfields; j++) {
        bool done; /* writes acknowledged just now are in; a first build is shown as it is */

        TRY(vdb_wait_seq(d, entries[j], db_update_seq(d->db), time_mono_us() + INFO_WAIT_US, &done,
                         e));
        in->view[j] = vindex_pin(entries[j]->ix);
        add_entry(d, entries[j], in->view[j], in->arena, in);
        for (uint32_t i = 0; i < in->view[j]->nparts; i++)
            segment_row(&in->view[j]->part[i], in, segs);
    }
    return ST_OK;
}

static enum status info_of(struct vdb *d, const struct vdef *def, struct ventry **entries,
                           struct arena *a, struct buf *out, struct err *e)
{
    struct info in = {.building = -1, .arena = a};
    struct buf segs;
    enum status st;

    buf_init(&segs, 1u << 24);
    st = gather_info(d, def, entries, &in, &segs, e);
    if (st == ST_OK) {
        write_info(d->v, d, def, &in, &segs);
        buf_add(out, buf_slice(&segs));
    }
    for (uint32_t j = 0; j < LIMIT_INDEX_FIELDS; j++)
        vview_release(in.view[j]);
    buf_free(&segs);
    return st;
}

static enum status no_def(const struct vdefs *l, struct slice ddoc, struct slice name,
                          struct err *e)
{
    for (const struct vdef_bad *b = l->bad; b != NULL; b = b->next)
        if (slice_eq(slice_of(b->ddoc.p + 8, b->ddoc.n - 8), ddoc) && slice_eq(b->name, name))
            return err_word(e, ST_BAD_REQUEST, "invalid_index", "%.*s", (int)b->reason.n,
                            b->reason.p);
    return err_word(e, ST_NOT_FOUND, "not_found", "no such vector index");
}

// NOLINTNEXTLINE(readability-function-size): seven parameters by the contract
enum status vectors_info(struct vectors *v, struct db *db, struct slice ddoc, struct slice name,
                         struct arena *a, struct buf *out, struct err *e)
{
    struct vdb *d = vdb_get(v, db);
    struct vdefs *l = NULL;
    const struct vdef *def;
    enum status st = vdb_defs(d, &l, e);
    uint32_t at = 0;

    if (st == ST_OK) {
        def = find_def(l, ddoc, name, &at);
        st = def != NULL ? info_of(d, def, l->entry[at], a, out, e) : no_def(l, ddoc, name, e);
    }
    vdefs_put(d, l);
    vdb_put(d);
    return st;
}

/* ---- tasks ---- */

static void task_row(struct vdb *d, const struct vdefs *l, struct ventry *en, struct buf *out,
                     unsigned *n)
{
    uint64_t seq = vindex_seq(en->ix), total = db_update_seq(d->db);
    struct slice ddoc = SLICE_LIT("");
    double done;

    mutex_lock(&d->mu);
    done = en->progress;
    if (!en->live && seq < total)
        done = (double)seq / (double)total;
    mutex_unlock(&d->mu);
    if (done < 0)
        return;
    for (uint32_t i = 0; l != NULL && i < l->n; i++)
        for (uint32_t j = 0; j < l->def[i].nfields; j++)
            ddoc = l->entry[i][j] == en ? l->def[i].ddoc : ddoc;
    buf_str(out, (*n)++ > 0 ? ",{" : "{");
    buf_str(out, "\"node\":\"nonode@nohost\",\"type\":\"indexer\",\"database\":");
    json_write_str(out, db_name(d->db));
    buf_str(out, ",\"design_document\":");
    json_write_str(out, ddoc);
    buf_printf(out,
               ",\"changes_done\":%llu,\"total_changes\":%llu,\"progress\":%d,"
               "\"started_on\":%llu,\"updated_on\":%llu}",
               (unsigned long long)seq, (unsigned long long)total, (int)(done * 100),
               (unsigned long long)en->started_s, (unsigned long long)(time_wall_ms() / 1000));
}

static void task_rows(struct vdb *d, struct buf *out, unsigned *n)
{
    struct vdefs *l;

    mutex_lock(&d->mu);
    l = d->defs;
    if (l != NULL)
        l->refs++;
    mutex_unlock(&d->mu);
    for (uint32_t i = 0; l != NULL && i < l->n; i++)
        for (uint32_t j = 0; j < l->def[i].nfields; j++)
            task_row(d, l, l->entry[i][j], out, n);
    vdefs_put(d, l);
}

void vectors_tasks(struct vectors *v, struct buf *out, unsigned *n)
{
    for (size_t i = 0;; i++) {
        struct vdb *d = NULL;

        mutex_lock(&v->mu);
        if (i < v->nlist) {
            d = v->list[i];
            d->users++;
        }
        mutex_unlock(&v->mu);
        if (d == NULL)
            return;
        if (!db_dropped(d->db))
            task_rows(d, out, n);
        vdb_put(d);
    }
}

/* ---- compaction and cleanup ---- */

enum status vectors_compact(struct vectors *v, struct db *db, struct slice ddoc, struct err *e)
{
    struct vdb *d = vdb_get(v, db);
    struct vdefs *l = NULL;
    enum status st = vdb_defs(d, &l, e);
    bool any = false;

    mutex_lock(&d->mu);
    for (uint32_t i = 0; st == ST_OK && i < l->n; i++) {
        const struct vdef *def = &l->def[i];
        if (!slice_eq(slice_of(def->ddoc.p + 8, def->ddoc.n - 8), ddoc))
            continue;
        any = true;
        for (uint32_t j = 0; j < def->nfields; j++)
            l->entry[i][j]->compact = true;
    }
    mutex_unlock(&d->mu);
    if (st == ST_OK && !any)
        st = err_set(e, ST_NOT_FOUND, "missing");
    vdefs_put(d, l);
    vdb_put(d);
    vectors_build_wake(v);
    return st;
}

struct cleanup {
    struct vdb *d;
    char root[4096];
};

static bool is_open(struct vdb *d, const char *name)
{
    bool open = false;

    mutex_lock(&d->mu);
    for (uint32_t i = 0; i < d->nentries; i++) {
        char hex[2 * VSEG_SIG + 1];
        vsig_hex(d->entry[i]->field.sig, hex);
        open = open || strcmp(hex, name) == 0;
    }
    mutex_unlock(&d->mu);
    return open;
}

static bool any_unused(struct vdb *d)
{
    bool any = false;

    mutex_lock(&d->mu);
    for (uint32_t i = 0; i < d->nentries; i++)
        any = any || !d->entry[i]->used;
    mutex_unlock(&d->mu);
    return any;
}

static enum status clean_one(void *arg, const char *name)
{
    const struct cleanup *c = arg;
    char path[4300];
    struct err e;

    if (is_open(c->d, name))
        return ST_OK;
    (void)snprintf(path, sizeof(path), "%s/%s", c->root, name);
    if (fs_remove_tree(path, &e) != ST_OK)
        log_warn("%s", e.reason);
    return ST_OK;
}

enum status vectors_cleanup(struct vectors *v, struct db *db, struct err *e)
{
    struct cleanup c = {.d = vdb_get(v, db)};
    struct vdefs *l = NULL;
    enum status st = vdb_defs(c.d, &l, e);

    vdefs_put(c.d, l);
    vectors_build_wake(v);
    /* The builder closes what no definition names; it may be busy with a graph. */
    for (int i = 0; st == ST_OK && i < 40 && any_unused(c.d); i++)
        time_sleep_us(50000);
    /* With the feeder's flag no index can be opened meanwhile. */
    if (st == ST_OK && vdb_feeder_begin(c.d, time_mono_us() + 5000000)) {
        vdb_dir(c.root, c.d);
        if (fs_exists(c.root))
            st = fs_list(c.root, clean_one, &c, e);
        vdb_feeder_end(c.d);
    }
    vdb_put(c.d);
    return st;
}

/* ---- offline ---- */

struct check {
    void (*report)(void *arg, const char *text);
    void *arg;
    uint64_t *bad;
    char path[4096];
};

static enum status check_index(void *arg, const char *name)
{
    struct check *c = arg;
    char dir[4400], text[4900];
    struct err e;

    (void)snprintf(dir, sizeof(dir), "%s/%s", c->path, name);
    enum status st = vindex_verify(dir, &e);
    if (st != ST_OK && st != ST_NOT_FOUND) {
        (void)snprintf(text, sizeof(text), "warning: vector index %s will be rebuilt: %s", dir,
                       e.reason);
        c->report(c->arg, text);
    }
    return ST_OK;
}

static enum status check_db(void *arg, const char *name)
{
    struct check *c = arg, sub = *c;
    struct err e;

    (void)snprintf(sub.path, sizeof(sub.path), "%.3800s/%.200s", c->path, name);
    if (fs_list(sub.path, check_index, &sub, &e) != ST_OK)
        c->report(c->arg, e.reason);
    return ST_OK;
}

enum status vectors_check(const char *store_dir, void (*report)(void *arg, const char *text),
                          void *arg, uint64_t *bad, struct err *e)
{
    struct check c = {.report = report, .arg = arg, .bad = bad};

    (void)snprintf(c.path, sizeof(c.path), "%s/vec", store_dir);
    if (!fs_exists(c.path))
        return ST_OK;
    return fs_list(c.path, check_db, &c, e);
}
