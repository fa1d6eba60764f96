/* http/multipart.c: see multipart.h. Nothing here copies a part: 60 MiB of attachment are searched
 * once, by memmem. */
#include "http/multipart.h"

#include "base/digest.h"
#include "base/limits.h"
#include "base/text.h"

#define CRLF "\r\n"

/* ---- Content-Type ---- */

bool multipart_is(struct slice content_type, struct slice type)
{
    const char *semi = content_type.n != 0 ? memchr(content_type.p, ';', content_type.n) : NULL;

    if (semi != NULL)
        content_type.n = (size_t)(semi - content_type.p);
    return slice_ieq(slice_trim(content_type), type);
}

/* The value at the head of *rest, a token or a quoted string; *rest moves behind it. false: the
 * quotes do not end. */
static bool take_value(struct arena *a, struct slice *rest, struct slice *out)
{
    char *p = arena_alloc(a, rest->n + 1);
    size_t i = 0, n = 0;

    if (rest->n == 0 || rest->p[0] != '"') {
        while (i < rest->n && rest->p[i] != ';')
            i++;
        *out = slice_trim(slice_of(rest->p, i));
    } else {
        for (i = 1; i < rest->n && rest->p[i] != '"'; i++) {
            if (rest->p[i] == '\\' && i + 1 < rest->n)
                i++;
            p[n++] = rest->p[i];
        }
        if (i >= rest->n)
            return false;
        *out = slice_of(p, n);
        i++;
    }
    *rest = slice_of(rest->p + i, rest->n - i);
    return true;
}

/* Moves behind the next ';'. */
static bool next_param(struct slice *rest)
{
    const char *semi = rest->n != 0 ? memchr(rest->p, ';', rest->n) : NULL;

    if (semi == NULL)
        return false;
    *rest = slice_trim(slice_of(semi + 1, (size_t)(rest->p + rest->n - semi - 1)));
    return true;
}

/* RFC 2046: 1 to 70 printable characters, no blank at the end. */
static bool boundary_ok(struct slice b)
{
    if (b.n == 0 || b.n > LIMIT_BOUNDARY_BYTES || b.p[b.n - 1] == ' ')
        return false;
    for (size_t i = 0; i < b.n; i++)
        if (b.p[i] < ' ' || b.p[i] > '~')
            return false;
    return true;
}

enum status multipart_boundary(struct arena *a, struct slice content_type, struct slice *out,
                               struct err *e)
{
    struct slice rest = content_type, name, value;

    while (next_param(&rest)) {
        const char *eq = rest.n != 0 ? memchr(rest.p, '=', rest.n) : NULL;

        if (eq == NULL)
            break;
        name = slice_trim(slice_of(rest.p, (size_t)(eq - rest.p)));
        rest = slice_trim(slice_of(eq + 1, (size_t)(rest.p + rest.n - eq - 1)));
        if (!take_value(a, &rest, &value))
            break;
        if (!slice_ieq(name, SLICE_LIT("boundary")))
            continue;
        if (!boundary_ok(value))
            break;
        *out = value;
        return ST_OK;
    }
    return err_set(e, ST_BAD_REQUEST, "The Content-Type has no boundary that can be used");
}

/* ---- parts ---- */

struct parser {
    struct slice body, delim; /* delim: line end, "--", boundary */
    size_t at;
    struct slice *parts;
    uint32_t n, cap;
    struct arena *a;
};

enum mark { MARK_NONE, MARK_NEXT, MARK_LAST };

/* What comes after "--boundary" at `from`; *after: the first byte behind the mark. */
static enum mark mark_at(const struct parser *p, size_t from, size_t *after)
{
    size_t i = from;

    if (p->body.n - i >= 2 && memcmp(p->body.p + i, "--", 2) == 0) {
        *after = i + 2;
        return MARK_LAST;
    }
    while (i < p->body.n && (p->body.p[i] == ' ' || p->body.p[i] == '\t'))
        i++;
    if (p->body.n - i >= 2 && memcmp(p->body.p + i, CRLF, 2) == 0) {
        *after = i; /* the line end belongs to the headers: there may be none */
        return MARK_NEXT;
    }
    return MARK_NONE;
}

/* The next mark at or after p->at, which moves behind it; *end: where the bytes before it end. */
static enum mark next_mark(struct parser *p, size_t *end)
{
    size_t from = p->at;

    while (from < p->body.n) {
        const char *hit = memmem(p->body.p + from, p->body.n - from, p->delim.p, p->delim.n);
        enum mark m;

        if (hit == NULL)
            break;
        *end = (size_t)(hit - p->body.p);
        m = mark_at(p, *end + p->delim.n, &p->at);
        if (m != MARK_NONE)
            return m;
        from = *end + 1;
    }
    return MARK_NONE;
}

/* The body may begin with a boundary, without the line end that others have before them. */
static enum mark first_mark(struct parser *p)
{
    struct slice bare = slice_of(p->delim.p + 2, p->delim.n - 2);
    enum mark m = MARK_NONE;
    size_t end;

    if (slice_starts(p->body, bare))
        m = mark_at(p, bare.n, &p->at);
    return m != MARK_NONE ? m : next_mark(p, &end);
}

static enum status cut_off(struct err *e)
{
    return err_set(e, ST_BAD_REQUEST, "The multipart body ends before its last boundary");
}

/* Behind the empty line that ends a part's headers; p->at is at the line end before them. */
static enum status skip_head(struct parser *p, struct err *e)
{
    size_t left = p->body.n - p->at;
    size_t look = left < LIMIT_MULTIPART_HEAD_BYTES ? left : LIMIT_MULTIPART_HEAD_BYTES;
    const char *hit = memmem(p->body.p + p->at, look, CRLF CRLF, 4);

    if (hit != NULL) {
        size_t end = (size_t)(hit - p->body.p);

        if (memmem(p->body.p + p->at, end + 2 - p->at, p->delim.p, p->delim.n) != NULL)
            return err_set(e, ST_BAD_REQUEST, "a part has no empty line after its headers");
        p->at = end + 4;
        return ST_OK;
    }
    if (look == left)
        return cut_off(e);
    return err_set(e, ST_TOO_LARGE, "the headers of a part have more than %d bytes",
                   LIMIT_MULTIPART_HEAD_BYTES);
}

static enum status add_part(struct parser *p, struct slice part, struct err *e)
{
    if (p->n == LIMIT_MULTIPART_PARTS)
        return err_set(e, ST_TOO_LARGE, "more than %d parts", LIMIT_MULTIPART_PARTS);
    if (p->n == p->cap) {
        struct slice *more;

        p->cap = p->cap != 0 ? 4 * p->cap : 8;
        more = arena_array(p->a, p->cap, sizeof(*more));
        if (p->n != 0)
            memcpy(more, p->parts, p->n * sizeof(*more));
        p->parts = more;
    }
    p->parts[p->n++] = part;
    return ST_OK;
}

static struct slice make_delim(struct arena *a, struct slice boundary)
{
    return arena_printf(a, CRLF "--%.*s", (int)boundary.n, boundary.p);
}

enum status multipart_parse(struct arena *a, struct slice body, struct slice boundary,
                            struct slice **parts, uint32_t *n, struct err *e)
{
    struct parser p = {.body = body, .a = a, .delim = make_delim(a, boundary)};
    enum mark m = first_mark(&p);

    if (m == MARK_NONE)
        return err_set(e, ST_BAD_REQUEST, "The multipart body does not have its boundary");
    while (m == MARK_NEXT) {
        size_t start, end = 0;

        TRY(skip_head(&p, e));
        start = p.at;
        /* An empty part without the line end of its own: "CRLF CRLF --boundary". */
        p.at = start - 2;
        m = next_mark(&p, &end);
        if (m == MARK_NONE)
            return cut_off(e);
        TRY(add_part(&p, slice_of(body.p + start, end > start ? end - start : 0), e));
    }
    if (p.n == 0)
        return err_set(e, ST_BAD_REQUEST, "The multipart body has no parts");
    *parts = p.parts;
    *n = p.n;
    return ST_OK;
}

/* ---- out ---- */

void multipart_boundary_new(char out[MULTIPART_BOUNDARY_BYTES + 1])
{
    unsigned char raw[MULTIPART_BOUNDARY_BYTES / 2];

    random_bytes(raw, sizeof(raw));
    hex_encode(raw, sizeof(raw), out);
    out[MULTIPART_BOUNDARY_BYTES] = '\0';
}

void multipart_begin(struct buf *out, const char *boundary)
{
    buf_str(out, "--");
    buf_str(out, boundary);
}

void multipart_type(struct buf *out, const char *content_type)
{
    buf_str(out, CRLF "Content-Type: ");
    buf_str(out, content_type);
    buf_str(out, CRLF CRLF);
}

/* Raw as CouchDB writes it, but a name must not begin a line of its own. */
static void add_line(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] >= ' ' && s.p[i] != 0x7f)
            buf_char(out, s.p[i]);
}

void multipart_att(struct buf *out, const struct multipart_att *t)
{
    buf_str(out, CRLF "Content-Disposition: attachment; filename=\"");
    add_line(out, t->name);
    buf_str(out, "\"" CRLF "Content-Type: ");
    add_line(out, t->type);
    buf_str(out, CRLF "Content-Length: ");
    buf_u64(out, t->length);
    if (t->gzip)
        buf_str(out, CRLF "Content-Encoding: gzip");
    buf_str(out, CRLF CRLF);
}

void multipart_next(struct buf *out, const char *boundary)
{
    buf_str(out, CRLF "--");
    buf_str(out, boundary);
}

void multipart_end(struct buf *out)
{
    buf_str(out, "--");
}
