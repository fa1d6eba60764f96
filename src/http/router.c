/* http/router.c: target parsing, route matching. Pure. */
#include "http/router.h"

#include "base/text.h"
#include "couch/doc_write.h"

/* ---- target ---- */

static enum status bad_escape(struct request *rq)
{
    return err_word(&rq->err, ST_BAD_REQUEST, "bad_request", "invalid_url_encoding");
}

static uint32_t count_char(struct slice s, char c)
{
    uint32_t n = 0;

    for (size_t i = 0; i < s.n; i++)
        n += s.p[i] == c;
    return n;
}

/* "_design/x" and "_local/x" are one document id although a raw slash parts them; so is the
 * design document in "_index/_design/x/..." and "_partition/p/_design/x/...". */
static void join_special(struct request *rq)
{
    struct slice *s = rq->seg;
    uint32_t at = 1;

    if (rq->nseg > 1 && slice_eq(s[1], SLICE_LIT("_index")))
        at = 2;
    else if (rq->nseg > 1 && slice_eq(s[1], SLICE_LIT("_partition")))
        at = 3;
    if (rq->nseg < at + 2 || s[at + 1].n == 0)
        return;
    if (slice_eq(s[0], SLICE_LIT("_node"))) /* /_node/_local/_stats: a node of that name */
        return;
    if (!slice_eq(s[at], SLICE_LIT("_design")) && !slice_eq(s[at], SLICE_LIT("_local")))
        return;
    s[at] =
        arena_printf(rq->arena, "%.*s/%.*s", (int)s[at].n, s[at].p, (int)s[at + 1].n, s[at + 1].p);
    for (uint32_t i = at + 1; i + 1 < rq->nseg; i++)
        s[i] = s[i + 1];
    rq->nseg--;
}

static enum status parse_path(struct request *rq, struct slice path)
{
    rq->raw_path = path;
    if (path.n == 0 || path.p[0] != '/')
        return bad_escape(rq);
    path = slice_of(path.p + 1, path.n - 1);
    while (path.n != 0 && path.p[path.n - 1] == '/') /* GET /db/ is GET /db */
        path.n--;
    rq->seg = arena_array(rq->arena, (size_t)count_char(path, '/') + 1, sizeof(rq->seg[0]));
    while (path.p != NULL && (path.n != 0 || rq->nseg != 0)) {
        struct slice *seg = &rq->seg[rq->nseg];

        if (!percent_decode(rq->arena, slice_cut(&path, '/'), true, seg))
            return bad_escape(rq);
        if (seg->n != 0 && memchr(seg->p, '\0', seg->n) != NULL)
            return err_set(&rq->err, ST_BAD_REQUEST, "a NUL in the path");
        rq->nseg++;
    }
    join_special(rq);
    return ST_OK;
}

static enum status parse_query(struct request *rq, struct slice query)
{
    if (query.n == 0)
        return ST_OK;
    rq->params = arena_array(rq->arena, (size_t)count_char(query, '&') + 1, sizeof(rq->params[0]));
    while (query.n != 0) {
        struct slice value = slice_cut(&query, '&');
        struct slice name = slice_cut(&value, '=');
        struct param *p = &rq->params[rq->nparams];

        if (name.n == 0 && value.n == 0)
            continue;
        if (!percent_decode(rq->arena, name, true, &p->name) ||
            !percent_decode(rq->arena, value, true, &p->value))
            return bad_escape(rq);
        rq->nparams++;
    }
    return ST_OK;
}

/* "http://host/path" is what a proxy is asked for; a server has to take it too (RFC 9112). */
static struct slice without_origin(struct slice uri)
{
    struct slice rest = uri, scheme = slice_cut(&rest, ':');
    const char *path;

    if ((!slice_ieq(scheme, SLICE_LIT("http")) && !slice_ieq(scheme, SLICE_LIT("https"))) ||
        !slice_starts(rest, SLICE_LIT("//")))
        return uri;
    path = memchr(rest.p + 2, '/', rest.n - 2);
    return path != NULL ? slice_of(path, (size_t)(rest.p + rest.n - path)) : SLICE_LIT("/");
}

enum status request_parse(struct request *rq, struct slice uri)
{
    struct slice query = without_origin(uri);
    struct slice path = slice_cut(&query, '?');

    TRY(parse_path(rq, path));
    return parse_query(rq, query);
}

/* ---- routes ---- */

static bool is_placeholder(struct slice pat)
{
    return pat.n > 2 && pat.p[0] == '{';
}

static void add_arg(struct request *rq, struct slice pat, struct slice value)
{
    rq->arg_names[rq->nargs] = slice_of(pat.p + 1, pat.n - 2);
    rq->args[rq->nargs++] = value;
}

/* The rest of the segments joined by slashes: attachment names may hold them. */
static struct slice join_rest(struct request *rq, uint32_t from)
{
    struct slice s = rq->seg[from];

    for (uint32_t i = from + 1; i < rq->nseg; i++)
        s = arena_printf(rq->arena, "%.*s/%.*s", (int)s.n, s.p, (int)rq->seg[i].n, rq->seg[i].p);
    return s;
}

/* A name that starts with '_' is no database but for CouchDB's three. */
static bool may_be_db(struct slice s)
{
    return s.n != 0 &&
           (s.p[0] != '_' || slice_eq(s, SLICE_LIT("_users")) ||
            slice_eq(s, SLICE_LIT("_replicator")) || slice_eq(s, SLICE_LIT("_global_changes")));
}

/* Endpoints of a database start with '_', so that no method on them falls through to documents. */
static bool may_be_docid(struct slice s)
{
    if (s.n == 0)
        return false;
    return s.p[0] != '_' || slice_starts(s, SLICE_LIT("_design/")) ||
           slice_starts(s, SLICE_LIT("_local/"));
}

static bool matches(struct request *rq, const struct route *r)
{
    struct slice pat = slice_str(r->pattern + 1);
    uint32_t i = 0;

    rq->nargs = 0;
    if (pat.n == 0)
        return rq->nseg == 0;
    while (pat.n != 0) {
        struct slice part = slice_cut(&pat, '/');

        if (i >= rq->nseg)
            return false;
        if (slice_eq(part, SLICE_LIT("{att*}"))) {
            add_arg(rq, SLICE_LIT("{att}"), join_rest(rq, i));
            return true;
        }
        if (slice_eq(part, SLICE_LIT("{db}")) && !may_be_db(rq->seg[i]))
            return false;
        if (slice_eq(part, SLICE_LIT("{docid}")) && !may_be_docid(rq->seg[i]))
            return false;
        if (is_placeholder(part))
            add_arg(rq, part, rq->seg[i]);
        else if (!slice_eq(part, rq->seg[i]))
            return false;
        i++;
    }
    return i == rq->nseg;
}

static bool method_in(enum method m, unsigned methods)
{
    return ((unsigned)m & methods) != 0 || (m == M_HEAD && (methods & M_GET) != 0);
}

static enum status check_content_type(struct request *rq)
{
    struct slice ct = rq_header(rq, "Content-Type");
    struct slice type = slice_cut(&ct, ';');

    if (rq->method != M_POST || !rq->route->json_body)
        return ST_OK;
    if (slice_ieq(slice_trim(type), SLICE_LIT("application/json")))
        return ST_OK;
    return err_set(&rq->err, ST_MEDIA_TYPE, "Content-Type must be application/json");
}

enum status router_find(struct request *rq)
{
    bool path_known = false;

    for (size_t i = 0; i < routes_count; i++) {
        if (!matches(rq, &routes[i]))
            continue;
        path_known = true;
        if (!method_in(rq->method, routes[i].methods))
            continue;
        rq->route = &routes[i];
        return check_content_type(rq);
    }
    if (!path_known && rq->nseg == 2 && rq->method == M_PUT && may_be_db(rq->seg[0]))
        TRY(doc_id_check(rq->seg[1], &rq->err)); /* PUT /db/_x: the reason is the id */
    if (!path_known && rq->nseg == 1 && rq->method == M_PUT)
        TRY(db_name_check(rq->seg[0], &rq->err)); /* PUT /_x: it is the name */
    if (path_known)
        return err_set(&rq->err, ST_METHOD, "Only %s allowed", router_allow(rq).p);
    return err_set(&rq->err, ST_NOT_FOUND, "missing");
}

bool router_moved(struct request *rq, struct slice uri, struct slice *to)
{
    static const struct slice escaped = {"_design%2F", 10};
    struct slice rest = uri, db;

    if (rq->method != M_GET && rq->method != M_HEAD)
        return false;
    (void)slice_cut(&rest, '/');
    db = slice_cut(&rest, '/');
    if (rest.n <= escaped.n || !slice_ieq(slice_of(rest.p, escaped.n), escaped))
        return false;
    rest = slice_of(rest.p + escaped.n, rest.n - escaped.n);
    *to = arena_printf(rq->arena, "/%.*s/_design/%.*s", (int)db.n, db.p, (int)rest.n, rest.p);
    return true;
}

struct slice router_allow(struct request *rq)
{
    static const struct {
        enum method m;
        const char *name;
    } names[] = {{M_COPY, "COPY"}, {M_DELETE, "DELETE"}, {M_GET, "GET"},
                 {M_HEAD, "HEAD"}, {M_POST, "POST"},     {M_PUT, "PUT"}};
    unsigned methods = 0;
    struct slice s = SLICE_LIT("");

    for (size_t i = 0; i < routes_count; i++) {
        if (matches(rq, &routes[i]))
            methods |= routes[i].methods;
    }
    if ((methods & M_GET) != 0)
        methods |= M_HEAD;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if ((methods & (unsigned)names[i].m) != 0)
            s = arena_printf(rq->arena, "%.*s%s%s", (int)s.n, s.p, s.n != 0 ? "," : "",
                             names[i].name);
    return s;
}
