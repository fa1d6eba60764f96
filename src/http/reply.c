/* http/reply.c: answers, and the one table from a status to what a client sees of it. */
#include "http/reply.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/text.h"
#include "http/router.h"
#include "http/stream.h"

static const struct {
    unsigned code;
    const char *word;
} table[] = {
    [ST_OK] = {200, "ok"},
    [ST_NOT_FOUND] = {404, "not_found"},
    [ST_CONFLICT] = {409, "conflict"},
    [ST_EXISTS] = {412, "file_exists"},
    [ST_MISSING_STUB] = {412, "missing_stub"},
    [ST_BAD_REQUEST] = {400, "bad_request"},
    [ST_BAD_DDOC] = {400, "invalid_design_doc"},
    [ST_UNAUTHORIZED] = {401, "unauthorized"},
    [ST_FORBIDDEN] = {403, "forbidden"},
    [ST_METHOD] = {405, "method_not_allowed"},
    [ST_NOT_ACCEPTABLE] = {406, "not_acceptable"},
    [ST_TOO_LARGE] = {413, "too_large"},
    [ST_URI_TOO_LONG] = {414, "too_long"},
    [ST_MEDIA_TYPE] = {415, "bad_content_type"},
    [ST_RANGE] = {416, "requested_range_not_satisfiable"},
    [ST_TIMEOUT] = {500, "timeout"},
    [ST_NOT_IMPLEMENTED] = {501, "not_implemented"},
    [ST_UPSTREAM] = {502, "bad_gateway"},
    [ST_UNAVAILABLE] = {503, "service_unavailable"},
    [ST_NO_SPACE] = {507, "insufficient_storage"},
    [ST_TORN] = {500, "internal_server_error"},
    [ST_CORRUPT] = {500, "internal_server_error"},
    [ST_IO] = {500, "internal_server_error"},
    [ST_INTERNAL] = {500, "internal_server_error"},
};
_Static_assert(sizeof(table) / sizeof(table[0]) == ST_COUNT, "every status has a row");

unsigned status_code(enum status st)
{
    return table[st].code;
}

const char *status_word(enum status st)
{
    return table[st].word;
}

void reply_init(struct reply *rp, struct arena *a)
{
    *rp = (struct reply){.arena = a, .code = 200};
    buf_init(&rp->body, (size_t)LIMIT_REQUEST_BYTES * 4);
}

void reply_fini(struct reply *rp)
{
    buf_free(&rp->body);
    if (rp->stream != NULL)
        rp->stream->free(rp->stream);
    rp->stream = NULL;
}

/* Whether parameters hold q=0, with up to three more zeros. */
static bool has_zero_q(struct slice params)
{
    while (params.n != 0) {
        struct slice q = slice_trim(slice_cut(&params, ';'));
        size_t n;

        if (q.n < 3 || (q.p[0] != 'q' && q.p[0] != 'Q') || q.p[1] != '=' || q.p[2] != '0')
            continue;
        n = q.n > 3 && q.p[3] == '.' ? 4 : 3;
        while (n < q.n && q.p[n] == '0')
            n++;
        if (n == q.n)
            return true;
    }
    return false;
}

/* "type/subtype;q=.." at the head of *rest, which moves behind the comma. */
static struct slice next_range(struct slice *rest, bool *refused)
{
    struct slice params = slice_cut(rest, ','), item = slice_cut(&params, ';');

    *refused = has_zero_q(params);
    return slice_trim(item);
}

bool reply_accepts(struct slice accept, struct slice type)
{
    const char *slash = memchr(type.p, '/', type.n);
    bool taken = slice_trim(accept).n == 0;

    ASSERT(slash != NULL);
    while (accept.n != 0) {
        bool refused, all, family;
        struct slice r = next_range(&accept, &refused);

        all = slice_eq(r, SLICE_LIT("*/*"));
        family = r.n > 2 && r.p[r.n - 1] == '*' && r.p[r.n - 2] == '/' &&
                 slice_ieq(slice_of(r.p, r.n - 1), slice_of(type.p, (size_t)(slash - type.p) + 1));
        if (!all && !family && !slice_ieq(r, type))
            continue;
        if (refused && !all)
            return false;
        taken |= !refused;
    }
    return taken;
}

bool reply_accepts_coding(struct slice accept, struct slice coding)
{
    bool any = false;

    while (accept.n != 0) {
        bool refused;
        struct slice c = next_range(&accept, &refused);

        if (slice_ieq(c, coding))
            return !refused;
        any |= !refused && slice_eq(c, SLICE_LIT("*"));
    }
    return any;
}

bool reply_accepts_json(struct slice accept)
{
    return reply_accepts(accept, SLICE_LIT("application/json"));
}

void reply_header(struct reply *rp, const char *name, struct slice value)
{
    struct reply_header *h = arena_alloc(rp->arena, sizeof(*h));
    char *v = arena_alloc(rp->arena, value.n + 1);
    size_t n = 0;

    for (size_t i = 0; i < value.n; i++)
        if ((unsigned char)value.p[i] >= ' ')
            v[n++] = value.p[i];
    v[n] = '\0';
    *h = (struct reply_header){.name = name, .value = v, .next = rp->headers};
    rp->headers = h;
}

void reply_etag(struct reply *rp, struct slice tag)
{
    reply_header(rp, "ETag", arena_printf(rp->arena, "\"%.*s\"", (int)tag.n, tag.p));
}

void reply_json(struct reply *rp, unsigned code, const struct json *v)
{
    rp->code = code;
    json_write(&rp->body, v);
    buf_char(&rp->body, '\n');
}

void reply_body(struct reply *rp, unsigned code)
{
    rp->code = code;
    buf_char(&rp->body, '\n');
}

void reply_ok(struct reply *rp, unsigned code)
{
    buf_str(&rp->body, "{\"ok\":true}");
    reply_body(rp, code);
}

void reply_error_members(struct buf *b, enum status st, const struct err *e)
{
    struct buf reason;

    buf_str(b, "\"error\":");
    json_write_str(b, slice_str(e->word != NULL ? e->word : table[st].word));
    buf_str(b, ",\"reason\":");
    /* A reason may quote what the client sent, and be cut within a character. */
    buf_init(&reason, sizeof(e->reason) * 3);
    utf8_repair(&reason, slice_str(e->reason));
    json_write_str(b, buf_slice(&reason));
    buf_free(&reason);
}

void reply_error(struct reply *rp, enum status st, const struct err *e)
{
    ASSERT(st != ST_OK && st < ST_COUNT);
    buf_clear(&rp->body);
    buf_char(&rp->body, '{');
    reply_error_members(&rp->body, st, e);
    buf_char(&rp->body, '}');
    reply_body(rp, table[st].code);
}
