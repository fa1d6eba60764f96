/* vector/explain.c: POST _explain with a vector clause. Threads: a worker per request. */
#include <math.h>

#include "vector/vfind_priv.h"

static void write_part(const struct vpart *p, bool walked, struct buf *out)
{
    bool graph = p->seg != NULL && p->seg->graph.n != 0;

    buf_str(out, "{\"segment\":");
    if (p->seg != NULL)
        buf_printf(out, "\"%06u\"", p->seg->number);
    else
        buf_str(out, "\"memory\"");
    buf_printf(out, ",\"vectors\":%u,\"dead\":%.3f,\"kind\":\"%s\",\"use\":\"%s\"}", vpart_live(p),
               p->n > 0 ? 1.0 - (double)vpart_live(p) / p->n : 0.0,
               graph ? "graph" : (p->seg != NULL ? "flat" : "memory"), walked ? "graph" : "exact");
}

/* As search.c will do it; expected_recall is the least of what was measured for the graphs at this
 * effort, null where nothing was measured at so little. */
static void write_plan(const struct vfind *f, struct buf *out)
{
    uint32_t k = (uint32_t)(f->rq->limit + f->rq->skip), effort = f->c.effort, want;
    double expect = 1;

    if (!selector_is_all(f->rq->selector))
        k = 2 * k > 64 ? 2 * k : 64; /* rank.c looks at so many first */
    want = (uint32_t)vsearch_want(k);
    buf_str(out, ",\"plan\":[");
    for (uint32_t i = 0; f->view != NULL && i < f->view->nparts; i++) {
        const struct vpart *p = &f->view->part[i];
        struct vsearch s = {
            .k = k, .effort = f->c.effort, .target = vrecall_target(f->v), .exact = f->c.exact};
        uint32_t ef;
        bool use = vsearch_graph(&s, p, want, &ef);

        if (use) {
            double r = vcurve_expect(&p->seg->curve, k, ef);
            effort = ef > effort ? ef : effort;
            expect = r < expect ? r : expect;
        }
        buf_str(out, i > 0 ? "," : "");
        write_part(p, use, out);
    }
    buf_printf(out, "],\"effort\":%u,\"expected_recall\":", effort);
    if (expect > 0)
        buf_printf(out, "%.3f,\"rescore\":1}", floor(expect * 1000) / 1000);
    else
        buf_str(out, "null,\"rescore\":1}");
}

static void write_opts(const struct vfind *f, struct buf *out)
{
    buf_str(out, ",\"opts\":{\"use_index\":[");
    if (f->rq->use_ddoc.n != 0)
        json_write_str(out, f->rq->use_ddoc);
    if (f->rq->use_name.n != 0) {
        buf_char(out, ',');
        json_write_str(out, f->rq->use_name);
    }
    buf_printf(out, "],\"bookmark\":\"nil\",\"limit\":%llu,\"skip\":%llu,\"sort\":",
               (unsigned long long)f->rq->limit, (unsigned long long)f->rq->skip);
    if (f->rq->sort != NULL)
        json_write(out, f->rq->sort);
    else
        buf_str(out, "{}");
    buf_str(out, ",\"vector\":{\"field\":");
    json_write_str(out, f->field.name);
    buf_printf(out, ",\"near\":\"<%u>\",\"effort\":", f->field.dims);
    if (f->c.effort != 0)
        buf_printf(out, "%u}}", f->c.effort);
    else
        buf_str(out, "\"auto\"}}");
}

static void write_fields(const struct vfind *f, struct buf *out)
{
    buf_printf(out, ",\"limit\":%llu,\"skip\":%llu,\"fields\":", (unsigned long long)f->rq->limit,
               (unsigned long long)f->rq->skip);
    if (f->rq->fields.n > 0)
        json_write(out, f->rq->fields_json);
    else
        buf_str(out, "\"all_fields\"");
}

static void write_vector(const struct vfind *f, struct buf *out)
{
    buf_str(out, ",\"vector\":{\"field\":");
    json_write_str(out, f->field.name);
    buf_printf(out,
               ",\"dims\":%u,\"metric\":\"%s\",\"encoding\":\"f32\",\"filter\":{\"via\":null,"
               "\"residual\":",
               f->field.dims, vmetric_name(f->field.metric));
    json_write(out, selector_json(f->a, f->rq->selector));
    buf_printf(out, ",\"of\":%llu}", (unsigned long long)(f->view != NULL ? f->view->live : 0));
    write_plan(f, out);
}

static void write_candidates(const struct vfind *f, struct buf *out)
{
    unsigned n = 0;

    buf_str(out, ",\"covering\":false,\"index_candidates\":[");
    for (uint32_t i = 0; i < f->defs->n; i++) {
        const struct vdef *d = &f->defs->def[i];
        bool fits = f->c.field.n == 0 ? d->nfields == 1 : vdef_field(d, f->c.field) != NULL;

        if (d == f->def)
            continue;
        buf_str(out, n++ > 0 ? ",{\"index\":" : "{\"index\":");
        vdef_write(d, false, f->a, out);
        buf_printf(out,
                   ",\"analysis\":{\"usable\":%s,\"ranking\":%u,\"covering\":null,\"reasons\":["
                   "{\"name\":\"%s\"}]}}",
                   fits && d->partial == NULL ? "true" : "false", n,
                   !fits ? "field_mismatch"
                         : (d->partial != NULL ? "is_partial" : "alphabetically_comes_after"));
    }
    buf_char(out, ']');
}

enum status vectors_explain(struct vectors *v, struct db *db, const struct find_request *rq,
                            struct arena *a, struct buf *out, struct err *e)
{
    struct vfind f;
    enum status st = vfind_begin(&f, v, db, rq, a, e);

    if (st == ST_OK)
        st = vfind_index(&f, e);
    if (st == ST_OK && f.entry != NULL)
        f.view = vindex_pin(f.entry->ix);
    if (st == ST_OK)
        st = vfind_query(&f, e);
    if (st == ST_OK) {
        buf_str(out, "{\"dbname\":");
        json_write_str(out, db_name(db));
        buf_str(out, ",\"index\":");
        if (f.def != NULL)
            vdef_write(f.def, false, a, out);
        else
            buf_str(out, "{\"ddoc\":null,\"name\":\"_all_docs\",\"type\":\"special\","
                         "\"def\":{\"fields\":[{\"_id\":\"asc\"}]}}");
        buf_str(out, ",\"selector\":");
        json_write(out, selector_json(a, rq->selector));
        write_opts(&f, out);
        write_fields(&f, out);
        write_vector(&f, out);
        write_candidates(&f, out);
        buf_str(out, ",\"selector_hints\":[]}");
    }
    vfind_end(&f);
    return st;
}
