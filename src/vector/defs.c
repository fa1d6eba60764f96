/* vector/defs.c: reads the definitions out of a database's design documents and opens an index for
 * every field that is new. Threads: the feeder of the database. */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/time.h"
#include "vector/vecdb_priv.h"

/* ---- reading ---- */

static int def_cmp(const void *x, const void *y)
{
    const struct vdef *a = x, *b = y;
    int c = slice_cmp(a->ddoc, b->ddoc);

    return c != 0 ? c : slice_cmp(a->name, b->name);
}

static void add_bad(struct vdefs *l, struct slice ddoc, struct slice name, const char *reason)
{
    struct vdef_bad *b = arena_zalloc(l->arena, sizeof(*b));

    b->ddoc = ddoc;
    b->name = name;
    b->reason = arena_printf(l->arena, "%s", reason);
    b->next = l->bad;
    l->bad = b;
}

static void add_def(struct vdefs *l, struct slice ddoc, const struct json *m)
{
    struct vdef d;
    struct err e;

    if (!json_is(m, JSON_OBJECT) || json_get(m, "index") == NULL)
        return;
    if (vdef_parse(l->arena, json_get(m, "index"), &d, &e) != ST_OK) {
        log_warn("%.*s/%.*s defines no usable vector index: %s", (int)ddoc.n, ddoc.p, (int)m->key.n,
                 m->key.p, e.reason);
        add_bad(l, ddoc, m->key, e.reason);
        return;
    }
    d.ddoc = ddoc;
    d.name = m->key;
    if ((l->n & (l->n - 1)) == 0) { /* doubles at powers of two */
        struct vdef *old = l->def;
        l->def = arena_array(l->arena, l->n == 0 ? 1 : l->n * 2u, sizeof(d));
        if (l->n > 0)
            memcpy(l->def, old, l->n * sizeof(d));
    }
    l->def[l->n++] = d;
}

static enum status add_ddoc(struct db *db, struct vdefs *l, struct slice id,
                            const struct docinfo_head *head, struct err *e)
{
    const struct json *doc, *lang, *all;
    struct docinfo info;
    struct doc_body body;
    enum status st = doc_load_body(db, &head->winner_ptr, l->arena, &body, e);

    if (st == ST_NOT_FOUND) /* moved by compaction since the row was read */
        st = doc_winner(db, id, l->arena, &info, &body, e);
    TRY(st);
    TRY(json_parse(l->arena, body.json, &doc, e));
    lang = json_get(doc, "language");
    all = json_get(doc, "vectors");
    if (!json_is(all, JSON_OBJECT) || !json_is(lang, JSON_STRING) ||
        !slice_eq(lang->text, SLICE_LIT("query")))
        return ST_OK;
    id = arena_dup(l->arena, id);
    for (const struct json *m = all->first; m != NULL && l->n < VENTRIES_MAX / 2; m = m->next)
        add_def(l, id, m);
    return ST_OK;
}

static enum status read_defs(struct db *db, struct vdefs *l, struct err *e)
{
    struct all_docs_opts o = {
        .inclusive_end = true, .limit = UINT64_MAX, .prefix = SLICE_LIT("_design/")};
    struct all_docs *r = all_docs_new(db, &o);
    enum status st = ST_OK;
    bool got = true;

    while (st == ST_OK && got) {
        struct docinfo_head head;
        struct slice id;

        st = all_docs_next_doc(r, &id, &head, &got, e);
        if (st == ST_OK && got && (head.flags & DOCINFO_DELETED) == 0)
            st = add_ddoc(db, l, id, &head, e);
    }
    all_docs_free(r);
    if (l->n > 1)
        qsort(l->def, l->n, sizeof(l->def[0]), def_cmp);
    return st;
}

/* ---- entries ---- */

void ventry_close(struct ventry *en, bool save)
{
    changes_cursor_free(en->pull);
    vindex_close(en->ix, save);
    arena_free(en->arena);
    mem_free(en->dir);
    mem_free(en);
}

static struct ventry *find_entry(struct vdb *d, const unsigned char sig[VSEG_SIG])
{
    for (uint32_t i = 0; i < d->nentries; i++)
        if (memcmp(d->entry[i]->field.sig, sig, VSEG_SIG) == 0)
            return d->entry[i];
    return NULL;
}

/* The entry outlives the definitions it came from: it parses its own copy. */
static enum status own_field(struct ventry *en, const struct vdef *def, const struct vfield *f,
                             struct err *e)
{
    struct buf b;
    struct vdef copy;
    const struct json *j;
    enum status st;

    buf_init(&b, 16u << 20);
    json_write(&b, def->json);
    en->arena = arena_new();
    st = json_parse(en->arena, arena_dup(en->arena, buf_slice(&b)), &j, e);
    if (st == ST_OK)
        st = vdef_parse(en->arena, j, &copy, e);
    buf_free(&b);
    if (st != ST_OK)
        return st;
    en->field = *vdef_field(&copy, f->name);
    en->partial = copy.partial;
    if (memcmp(en->field.sig, f->sig, VSEG_SIG) != 0)
        return err_set(e, ST_INTERNAL, "a definition's normal form is not stable");
    return ST_OK;
}

static enum status open_entry(struct vdb *d, const struct vdef *def, const struct vfield *f,
                              struct ventry **out, struct err *e)
{
    struct ventry *en = mem_zalloc(sizeof(*en));
    char base[4096], hex[2 * VSEG_SIG + 1], dir[4200];
    struct vindex_opts o = {.metric = f->metric,
                            .dims = f->dims,
                            .m = def->m,
                            .efc = def->efc,
                            .build_threads = d->v->o.build_threads};
    enum status st;

    vdb_dir(base, d);
    vsig_hex(f->sig, hex);
    (void)snprintf(dir, sizeof(dir), "%s/%s", base, hex);
    en->dir = mem_strdup(dir);
    en->progress = -1;
    o.dir = en->dir;
    memcpy(o.uuid, db_uuid(d->db), sizeof(o.uuid));
    memcpy(o.sig, f->sig, sizeof(o.sig));
    st = own_field(en, def, f, e);
    if (st == ST_OK)
        st = fs_mkdirs(en->dir, e);
    if (st == ST_OK)
        st = vindex_open(&o, db_update_seq(d->db), &en->ix, e);
    if (st != ST_OK) {
        ventry_close(en, false);
        return st;
    }
    en->fed = vindex_seq(en->ix);
    en->started_s = time_wall_ms() / 1000;
    *out = en;
    return ST_OK;
}

static enum status entry_for(struct vdb *d, const struct vdef *def, const struct vfield *f,
                             struct ventry **out, struct err *e)
{
    struct ventry *en;

    mutex_lock(&d->mu);
    en = find_entry(d, f->sig); /* only the builder removes one, and only if unused */
    if (en != NULL)
        en->users++;
    mutex_unlock(&d->mu);
    if (en == NULL) {
        if (d->nentries == VENTRIES_MAX)
            return err_set(e, ST_INTERNAL, "too many vector indexes in one database");
        TRY(open_entry(d, def, f, &en, e));
        mutex_lock(&d->mu);
        en->users++;
        en->work = true;
        d->entry[d->nentries++] = en;
        mutex_unlock(&d->mu);
    }
    *out = en;
    return ST_OK;
}

/* ---- the set ---- */

static void free_defs(struct vdefs *l)
{
    arena_free(l->arena);
    mem_free(l);
}

void vdefs_put(struct vdb *d, struct vdefs *defs)
{
    bool last;

    if (defs == NULL)
        return;
    mutex_lock(&d->mu);
    last = --defs->refs == 0;
    for (uint32_t i = 0; last && defs->entry != NULL && i < defs->n; i++)
        for (uint32_t j = 0; j < defs->def[i].nfields; j++)
            if (defs->entry[i][j] != NULL)
                defs->entry[i][j]->users--;
    mutex_unlock(&d->mu);
    if (last)
        free_defs(defs);
}

static enum status open_all(struct vdb *d, struct vdefs *l, struct err *e)
{
    l->entry = arena_zalloc(l->arena, (l->n + 1u) * sizeof(struct ventry **));
    for (uint32_t i = 0; i < l->n; i++)
        l->entry[i] = arena_zalloc(l->arena, l->def[i].nfields * sizeof(struct ventry *));
    for (uint32_t i = 0; i < l->n; i++)
        for (uint32_t j = 0; j < l->def[i].nfields; j++)
            TRY(entry_for(d, &l->def[i], &l->def[i].field[j], &l->entry[i][j], e));
    return ST_OK;
}

/* d->mu held: which entries a definition still names. */
static void mark_used(struct vdb *d, const struct vdefs *l)
{
    for (uint32_t i = 0; i < d->nentries; i++)
        d->entry[i]->used = false;
    for (uint32_t i = 0; i < l->n; i++)
        for (uint32_t j = 0; j < l->def[i].nfields; j++)
            l->entry[i][j]->used = true;
    for (uint32_t i = 0; i < d->nentries; i++)
        if (!d->entry[i]->used)
            d->entry[i]->live = false;
}

enum status vdb_load_defs(struct vdb *d, struct err *e)
{
    struct vdefs *l = mem_zalloc(sizeof(*l)), *old;
    enum status st;
    uint64_t wanted;

    l->refs = 1;
    l->arena = arena_new();
    mutex_lock(&d->mu);
    wanted = d->defs_wanted; /* what comes from now on asks for another load */
    mutex_unlock(&d->mu);
    st = read_defs(d->db, l, e);
    if (st == ST_OK)
        st = open_all(d, l, e);
    mutex_lock(&d->mu);
    if (st == ST_OK) {
        mark_used(d, l);
        old = d->defs;
        d->defs = l;
        d->defs_loaded = wanted;
    } else {
        old = l;
    }
    mutex_unlock(&d->mu);
    vdefs_put(d, old);
    vectors_build_wake(d->v);
    return st;
}
