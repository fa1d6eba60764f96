/* vector/answer.c: loads the documents of the hits, sorts a window, projects, writes the answer.
 * Threads: a worker per request. */
#include <math.h>
#include <stdlib.h>

#include "base/time.h"
#include "vector/vfind_priv.h"

enum status vfind_load(struct vfind *f, struct slice id, struct arena *a, const struct json **out,
                       struct err *e)
{
    struct docinfo info;
    struct doc_body body;
    const struct json *doc;
    int winner;
    enum status st = doc_winner(f->db, id, a, &info, &body, e);

    *out = NULL;
    if (st == ST_NOT_FOUND || (st == ST_OK && (info.flags & DOCINFO_DELETED) != 0))
        return ST_OK;
    TRY(st);
    winner = revtree_winner(&info.tree);
    if (body.natts == 0 && !f->rq->conflicts) {
        doc = find_doc_json(a, id, &info.tree.nodes[winner].rev, body.json, e);
        *out = doc;
        return doc != NULL ? ST_OK : ST_CORRUPT;
    }
    struct doc_read_opts o = {.conflicts = f->rq->conflicts};
    struct buf b;

    buf_init(&b, LIMIT_JSON_BYTES);
    st = doc_write_json(f->db, id, &info, winner, &o, a, &b, e);
    if (st == ST_OK)
        st = json_parse(a, arena_dup(a, buf_slice(&b)), out, e);
    buf_free(&b);
    return st;
}

/* ---- fields ---- */

static bool is_path(const struct path *p, const char *name)
{
    return p->n == 1 && slice_eq(p->seg[0], slice_str(name));
}

static bool lists_score(const struct vfind *f)
{
    for (uint32_t i = 0; i < f->rq->fields.n; i++)
        if (is_path(&f->rq->fields.paths[i], "_score"))
            return true;
    return false;
}

/* Only _id and _score: no document need be read. */
static bool ids_only(const struct vfind *f)
{
    if (f->rq->fields.n == 0 || f->nsort > 0)
        return false;
    for (uint32_t i = 0; i < f->rq->fields.n; i++)
        if (!is_path(&f->rq->fields.paths[i], "_id") && !is_path(&f->rq->fields.paths[i], "_score"))
            return false;
    return true;
}

/* A copy of v without what the path leads to; then, in an array, without `tail` of each element.
 * Recursion ends with the path, at most twice LIMIT_PATH_SEGMENTS deep. */
// NOLINTNEXTLINE(misc-no-recursion)
static const struct json *without(struct arena *a, const struct json *v, const struct slice *seg,
                                  uint32_t n, const struct path *tail)
{
    struct json *o;

    if (n == 0 && json_is(v, JSON_ARRAY) && tail != NULL && !v->packed) {
        o = json_array(a);
        for (const struct json *m = v->first; m != NULL; m = m->next)
            json_add(a, o, without(a, m, tail->seg, tail->n, NULL));
        return o;
    }
    if (n == 0 || !json_is(v, JSON_OBJECT))
        return v;
    o = json_object(a);
    for (const struct json *m = v->first; m != NULL; m = m->next) {
        if (!slice_eq(m->key, seg[0]))
            json_put_key(a, o, m->key, m);
        else if (n > 1 || tail != NULL)
            json_put_key(a, o, m->key, without(a, m, seg + 1, n - 1, tail));
    }
    return o;
}

static const struct json *hide_vectors(const struct vfind *f, const struct json *doc)
{
    uint32_t n = f->def != NULL ? f->def->nfields : 1;
    const struct vfield *field = f->def != NULL ? f->def->field : &f->field;

    for (uint32_t i = 0; i < n; i++) {
        bool inside = field[i].each && field[i].tail.n > 0;
        doc =
            without(f->a, doc, field[i].head.seg, field[i].head.n, inside ? &field[i].tail : NULL);
    }
    return doc;
}

static const struct json *project(const struct vfind *f, const struct json *doc, double score)
{
    if (f->c.no_vectors)
        doc = hide_vectors(f, doc);
    if (f->rq->fields.n == 0)
        return doc;
    doc = projection_apply(&f->rq->fields, doc, f->a);
    if (lists_score(f)) {
        struct json *o = json_object(f->a);
        for (const struct json *m = doc->first; m != NULL; m = m->next)
            json_put_key(f->a, o, m->key, m);
        json_put(f->a, o, "_score", json_num(f->a, score));
        doc = o;
    }
    return doc;
}

/* ---- the window ---- */

struct row {
    struct vhit hit;
    const struct json *doc;   /* NULL: ids only */
    const struct json **sort; /* one per key */
    const struct vfind *f;
};

static int row_cmp(const void *x, const void *y)
{
    const struct row *a = x, *b = y;

    for (uint32_t i = 0; i < a->f->nsort; i++) {
        int c;
        if (a->sort[i] == NULL || b->sort[i] == NULL)
            c = (a->sort[i] != NULL) - (b->sort[i] != NULL);
        else
            c = json_collate(a->sort[i], b->sort[i]);
        if (c != 0)
            return a->f->sort[i].desc ? -c : c;
    }
    return vhit_cmp(&a->hit, &b->hit);
}

static void sort_rows(struct vfind *f, struct row *rows, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        rows[i].sort = arena_array(f->a, f->nsort, sizeof(struct json *));
        for (uint32_t j = 0; j < f->nsort; j++)
            rows[i].sort[j] = path_get(rows[i].doc, &f->sort[j].path, f->a);
    }
    if (n > 1)
        qsort(rows, n, sizeof(rows[0]), row_cmp);
}

static enum status load_rows(struct vfind *f, struct row *rows, uint32_t *n, struct err *e)
{
    bool bodies = !ids_only(f);
    uint32_t out = 0;

    for (uint32_t i = 0; i < f->nhits; i++) {
        rows[out] = (struct row){.hit = f->hit[i], .f = f};
        if (bodies) {
            TRY(vfind_load(f, f->hit[i].id, f->a, &rows[out].doc, e));
            if (rows[out].doc == NULL)
                continue; /* deleted since */
        }
        out++;
    }
    if (bodies && selector_is_all(f->rq->selector))
        f->examined += out;
    *n = out;
    return ST_OK;
}

/* Sorts, diversifies, cuts the page out of a window; leaves rows and hits of this page. */
static void cut_window(struct vfind *f, struct row **rows, uint32_t *n)
{
    uint64_t from = f->after_count + vfind_skip(f), limit = vfind_limit(f);

    if (!f->windowed)
        return;
    if (f->nsort > 0)
        sort_rows(f, *rows, *n);
    from = from < *n ? from : *n;
    *rows += from;
    *n -= (uint32_t)from;
    *n = *n < limit ? *n : (uint32_t)limit;
    for (uint32_t i = 0; i < *n; i++)
        f->hit[i] = (*rows)[i].hit;
    f->nhits = *n;
}

/* ---- writing ---- */

static void write_docs(const struct vfind *f, const struct row *rows, uint32_t n, struct buf *out)
{
    buf_str(out, "{\"docs\":[");
    for (uint32_t i = 0; i < n; i++) {
        double distance, score = vscore(f->field.metric, rows[i].hit.key, &distance);

        if (i > 0)
            buf_char(out, ',');
        if (rows[i].doc != NULL) {
            json_write(out, project(f, rows[i].doc, score));
            continue;
        }
        buf_char(out, '{');
        for (uint32_t j = 0; j < f->rq->fields.n; j++) {
            bool id = is_path(&f->rq->fields.paths[j], "_id");
            buf_str(out, j > 0 ? "," : "");
            buf_str(out, id ? "\"_id\":" : "\"_score\":");
            if (id)
                json_write_str(out, rows[i].hit.id);
            else
                json_write_num(out, score);
        }
        buf_char(out, '}');
    }
    buf_char(out, ']');
}

static void write_hits(const struct vfind *f, const struct row *rows, uint32_t n, struct buf *out)
{
    buf_str(out, ",\"hits\":[");
    for (uint32_t i = 0; i < n; i++) {
        double distance, score = vscore(f->field.metric, rows[i].hit.key, &distance);

        buf_str(out, i > 0 ? ",{\"id\":" : "{\"id\":");
        json_write_str(out, rows[i].hit.id);
        buf_str(out, ",\"score\":");
        json_write_num(out, score);
        if (!isnan(distance)) {
            buf_str(out, ",\"distance\":");
            json_write_num(out, distance);
        }
        if (f->field.each) {
            buf_str(out, ",\"at\":");
            json_write_str(out, vector_at(f->a, &f->field, rows[i].hit.elem));
        }
        buf_char(out, '}');
    }
    buf_char(out, ']');
}

static void write_stats(const struct vfind *f, uint32_t n, struct buf *out)
{
    uint32_t segments = f->view != NULL ? f->view->nparts : 0;

    buf_printf(out,
               ",\"execution_stats\":{\"total_keys_examined\":0,\"total_docs_examined\":%llu,"
               "\"total_quorum_docs_examined\":0,\"results_returned\":%u,"
               "\"execution_time_ms\":%.3f,\"vector\":{\"plan\":\"%s\",\"matched\":%llu,"
               "\"scored\":%llu,\"segments\":%u,\"complete\":%s}}",
               (unsigned long long)f->examined, n, (double)(time_mono_us() - f->start_us) / 1000.0,
               f->plan, (unsigned long long)f->matched, (unsigned long long)f->scored, segments,
               f->complete && !f->late ? "true" : "false");
}

enum status vfind_answer(struct vfind *f, struct buf *out, struct err *e)
{
    struct row *rows = arena_array(f->a, f->nhits + 1u, sizeof(*rows));
    uint32_t n;

    if (f->c.diversity > 0)
        vfind_diversify(f, f->after_count + (uint32_t)(vfind_skip(f) + vfind_limit(f)));
    TRY(load_rows(f, rows, &n, e));
    cut_window(f, &rows, &n);
    write_docs(f, rows, n, out);
    write_hits(f, rows, n, out);
    buf_str(out, ",\"bookmark\":\"");
    vfind_bookmark_write(f, out);
    buf_char(out, '"');
    if (f->warning.n != 0) {
        buf_str(out, ",\"warning\":");
        json_write_str(out, f->warning);
    }
    if (f->rq->execution_stats)
        write_stats(f, n, out);
    buf_char(out, '}');
    return ST_OK;
}

enum status vectors_find(struct vectors *v, struct db *db, const struct find_request *rq,
                         struct arena *a, struct buf *out, struct err *e)
{
    struct vfind f;
    enum status st = vfind_begin(&f, v, db, rq, a, e);

    if (st == ST_OK)
        st = vfind_index(&f, e);
    if (st == ST_OK)
        st = vfind_wait(&f, e);
    if (st == ST_OK)
        st = vfind_query(&f, e);
    if (st == ST_OK)
        st = vfind_bookmark(&f, e);
    if (st == ST_OK)
        st = vfind_rank(&f, e);
    if (st == ST_OK)
        st = vfind_answer(&f, out, e);
    vfind_end(&f);
    return st;
}
