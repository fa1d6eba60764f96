/* mango/find_plan.c: sort, range of ids, bookmark and warnings of a _find request. Pure.
 *
 * A bookmark is base64url of: version(1), descending(1), crc32c(4) of the two bytes and the id, the
 * id of the last row. Whoever changes one gets invalid_bookmark, not wrong rows.
 */
#include "base/bytes.h"
#include "base/digest.h"
#include "base/text.h"
#include "mango/find_priv.h"

enum { BOOKMARK_VERSION = 1, BOOKMARK_HEAD = 6 };

/* ---- bookmark ---- */

static uint32_t bookmark_sum(const unsigned char *head, struct slice id)
{
    return crc32c(crc32c(0, head, 2), id.p, id.n);
}

struct slice find_bookmark(struct arena *a, bool descending, struct slice last)
{
    unsigned char *raw = arena_alloc(a, BOOKMARK_HEAD + last.n);
    char *out = arena_alloc(a, base64_encoded_len(BOOKMARK_HEAD + last.n));

    raw[0] = BOOKMARK_VERSION;
    raw[1] = descending;
    put_le32(raw + 2, bookmark_sum(raw, last));
    memcpy(raw + BOOKMARK_HEAD, last.p, last.n);
    return slice_of(out, base64url_encode(raw, BOOKMARK_HEAD + last.n, out));
}

static enum status bookmark_read(struct arena *a, struct slice text, struct find_plan *plan,
                                 struct err *e)
{
    unsigned char *raw = arena_alloc(a, text.n + 4);
    size_t n = 0;
    bool ok = text.n <= 2 * (size_t)LIMIT_DOCID_BYTES && base64url_decode(text, raw, &n) &&
              n >= BOOKMARK_HEAD && raw[0] == BOOKMARK_VERSION && raw[1] == plan->descending;

    if (ok) {
        plan->after = slice_of((char *)raw + BOOKMARK_HEAD, n - BOOKMARK_HEAD);
        plan->resume = get_le32(raw + 2) == bookmark_sum(raw, plan->after);
    }
    if (plan->resume)
        return ST_OK;
    return err_word(e, ST_BAD_REQUEST, "invalid_bookmark", "Invalid bookmark value: \"%s\"",
                    mango_show_text(a, text));
}

/* ---- sort ---- */

/* "field" or {"field":"asc"|"desc"} */
static enum status sort_item(struct arena *a, const struct json *v, struct slice *field, bool *desc,
                             struct err *e)
{
    const struct json *dir = v->first;

    *desc = false;
    if (v->type == JSON_STRING) {
        *field = v->text;
        return ST_OK;
    }
    if (v->type != JSON_OBJECT || v->count != 1)
        return err_word(e, ST_BAD_REQUEST, "invalid_sort_field", "Invalid sort field: %s",
                        mango_show(a, v));
    *field = dir->key;
    *desc = dir->type == JSON_STRING && slice_eq(dir->text, SLICE_LIT("desc"));
    if (*desc || (dir->type == JSON_STRING && slice_eq(dir->text, SLICE_LIT("asc"))))
        return ST_OK;
    return err_word(e, ST_BAD_REQUEST, "invalid_sort_dir", "Invalid sort direction: %s",
                    mango_show(a, v));
}

static enum status sort_read(const struct find_request *rq, struct arena *a, struct find_plan *plan,
                             struct err *e)
{
    uint32_t n = rq->sort != NULL ? rq->sort->count : 0;
    bool by_id = n <= 1;

    for (uint32_t i = 0; i < n; i++) {
        struct slice field = {NULL, 0};
        bool desc;

        TRY(sort_item(a, json_elem(a, rq->sort, i), &field, &desc, e));
        by_id = by_id && slice_eq(field, SLICE_LIT("_id"));
        if (i != 0 && desc != plan->descending)
            return err_word(e, ST_BAD_REQUEST, "unsupported_mixed_sort",
                            "Sorts currently only support a single direction for all fields.");
        plan->descending = desc;
    }
    if (by_id)
        return ST_OK;
    return err_word(e, ST_BAD_REQUEST, "no_usable_index",
                    "No index exists for this sort, try indexing by the sort fields.");
}

/* ---- range of ids ---- */

static void at_least(struct find_plan *p, struct slice id)
{
    if (!p->has_lo || slice_cmp(id, p->lo) > 0)
        p->lo = id;
    p->has_lo = true;
}

static void at_most(struct find_plan *p, struct slice id)
{
    if (!p->has_hi || slice_cmp(id, p->hi) < 0)
        p->hi = id;
    p->has_hi = true;
}

/* Ids are UTF-8: none holds the byte 0xff. */
static struct slice prefix_end(struct arena *a, struct slice prefix)
{
    char *p = arena_alloc(a, prefix.n + 1);

    memcpy(p, prefix.p, prefix.n);
    p[prefix.n] = (char)0xff;
    return slice_of(p, prefix.n + 1);
}

static void narrow_leaf(struct find_plan *p, const struct sel_node *n, struct arena *a)
{
    enum sel_op op = n->op;
    struct slice id = n->arg->text;

    if (op == SEL_IN && n->n != 0 && n->vals[0]->type == JSON_STRING &&
        n->vals[n->n - 1]->type == JSON_STRING) { /* sorted */
        at_least(p, n->vals[0]->text);
        at_most(p, n->vals[n->n - 1]->text);
    }
    if (n->arg->type != JSON_STRING) /* every id or none: the selector itself decides */
        return;
    if (op == SEL_EQ || op == SEL_GT || op == SEL_GTE || op == SEL_BEGINS)
        at_least(p, id);
    if (op == SEL_EQ || op == SEL_LT || op == SEL_LTE)
        at_most(p, id);
    if (op == SEL_BEGINS)
        at_most(p, prefix_end(a, id));
}

/* Narrows the range by what must hold of _id; true: nothing else is asked.
 * Recursion: two nodes for each of LIMIT_SELECTOR_DEPTH. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static bool narrow(struct find_plan *p, const struct sel_node *n, struct arena *a)
{
    bool only = true;

    if (n->op == SEL_AND) {
        for (uint32_t i = 0; i < n->n; i++)
            only = narrow(p, n->kids[i], a) && only;
        return only;
    }
    if (!n->raw || n->negate)
        return false;
    narrow_leaf(p, n, a);
    return n->op == SEL_EQ || n->op == SEL_GT || n->op == SEL_GTE || n->op == SEL_LT ||
           n->op == SEL_LTE || n->op == SEL_BEGINS;
}

/* ---- indexes ---- */

static enum status index_check(const struct find_request *rq, struct arena *a,
                               struct find_plan *plan, struct err *e)
{
    const char *ddoc = mango_show_text(a, rq->use_ddoc);

    if (rq->use_ddoc.n != 0 && rq->use_name.n != 0)
        plan->unused_index =
            arena_printf(a,
                         "_design/%s, %s was not used because it is not a valid index for this "
                         "query.",
                         ddoc, mango_show_text(a, rq->use_name))
                .p;
    else if (rq->use_ddoc.n != 0)
        plan->unused_index =
            arena_printf(a,
                         "_design/%s was not used because it does not contain a valid index for "
                         "this query.",
                         ddoc)
                .p;
    if (rq->allow_fallback)
        return ST_OK;
    if (plan->unused_index != NULL)
        return err_word(e, ST_BAD_REQUEST, "invalid_index", "%s", plan->unused_index);
    if (!plan->by_id)
        return err_word(e, ST_BAD_REQUEST, "no_usable_index",
                        "There is no index available for this selector.");
    return ST_OK;
}

enum status find_plan_make(const struct find_request *rq, struct arena *a, struct find_plan *out,
                           struct err *e)
{
    *out = (struct find_plan){.descending = false};
    TRY(sort_read(rq, a, out, e));
    out->by_id = narrow(out, rq->selector->root, a);
    TRY(index_check(rq, a, out, e));
    return rq->bookmark.n != 0 ? bookmark_read(a, rq->bookmark, out, e) : ST_OK;
}
