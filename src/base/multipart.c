/* base/multipart.c: see multipart.h. A state machine over a window of bytes: what it cannot decide
 * yet (a boundary that may go on in the next piece, a head that has not ended) is kept in `hold`.
 */
#include "base/multipart.h"

#include "base/alloc.h"
#include "base/assert.h"
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

/* ---- in ---- */

enum place { BEFORE, HEAD, DATA, AFTER };
/* Bytes are added to `hold` in pieces of this size: what is undecided is soon decided. */
enum { HOLD_STEP = 64 << 10, HOLD_MAX = 2 * HOLD_STEP, DELIM_MAX = 4 + LIMIT_BOUNDARY_BYTES };

struct multipart {
    struct multipart_events events;
    void *arg;
    char delim[DELIM_MAX]; /* line end, "--", boundary */
    size_t delim_n;
    enum place place;
    size_t skip; /* DATA: bytes at its front that are the end of its head */
    uint32_t parts;
    struct buf hold;
};
/* What is looked at, and how far it is dealt with. */
struct window {
    struct slice in;
    size_t at;
};

struct multipart *multipart_new(struct slice boundary, const struct multipart_events *events,
                                void *arg)
{
    struct multipart *m = mem_zalloc(sizeof(*m));

    ASSERT(boundary.n <= LIMIT_BOUNDARY_BYTES);
    m->events = *events;
    m->arg = arg;
    memcpy(m->delim, CRLF "--", 4);
    memcpy(m->delim + 4, boundary.p, boundary.n);
    m->delim_n = 4 + boundary.n;
    buf_init(&m->hold, HOLD_MAX);
    buf_str(&m->hold, CRLF); /* the body may begin with a boundary: then its line begins there */
    return m;
}

void multipart_free(struct multipart *m)
{
    if (m == NULL)
        return;
    buf_free(&m->hold);
    mem_free(m);
}

/* OPEN: the bytes end before it can be said. */
enum mark { MARK_NONE, MARK_OPEN, MARK_NEXT, MARK_LAST };

/* What follows a delimiter. *after: behind the mark. */
static enum mark mark_after(struct slice in, size_t from, size_t *after)
{
    size_t i = from;

    if (in.n - i >= 1 && in.p[i] == '-') {
        *after = i + 2;
        return in.n - i < 2 ? MARK_OPEN : in.p[i + 1] == '-' ? MARK_LAST : MARK_NONE;
    }
    while (i < in.n && (in.p[i] == ' ' || in.p[i] == '\t'))
        i++;
    if (i - from > LIMIT_BOUNDARY_BLANKS)
        return MARK_NONE;
    *after = i; /* the line end belongs to the headers: there may be none */
    if (i == in.n || (in.p[i] == '\r' && i + 1 == in.n))
        return MARK_OPEN;
    return in.p[i] == '\r' && in.p[i + 1] == '\n' ? MARK_NEXT : MARK_NONE;
}

/* Where a delimiter may begin that the window's end cuts off. */
static size_t cut_delim(const struct multipart *m, struct slice in, size_t from)
{
    size_t i = in.n - from >= m->delim_n ? in.n - m->delim_n + 1 : from;

    while (i < in.n && memcmp(in.p + i, m->delim, in.n - i) != 0)
        i++;
    return i;
}

/* The next mark. *start: where the bytes before it end; with NONE and OPEN, how many are surely no
 * part of a mark. */
static enum mark next_mark(const struct multipart *m, const struct window *w, size_t *start,
                           size_t *after)
{
    size_t from = w->at;
    const char *hit;

    while (from < w->in.n &&
           (hit = memmem(w->in.p + from, w->in.n - from, m->delim, m->delim_n)) != NULL) {
        enum mark mark;

        *start = (size_t)(hit - w->in.p);
        mark = mark_after(w->in, *start + m->delim_n, after);
        if (mark != MARK_NONE)
            return mark;
        from = *start + 1;
    }
    *start = cut_delim(m, w->in, from);
    return MARK_NONE;
}

static enum status begin_part(struct multipart *m, struct slice head, struct err *e)
{
    if (memmem(head.p, head.n, m->delim, m->delim_n) != NULL)
        return err_set(e, ST_BAD_REQUEST, "a part has no empty line after its headers");
    if (m->parts++ == LIMIT_MULTIPART_PARTS)
        return err_set(e, ST_TOO_LARGE, "more than %d parts", LIMIT_MULTIPART_PARTS);
    m->place = DATA;
    m->skip = 2; /* an empty part may have no line end but its head's */
    return m->events.begin(m->arg, head, e);
}

/* w->at is at the line end after a boundary. */
static enum status take_head(struct multipart *m, struct window *w, bool *on, struct err *e)
{
    const char *p = w->in.p + w->at, *hit;
    size_t left = w->in.n - w->at;
    size_t look = left < LIMIT_MULTIPART_HEAD_BYTES ? left : LIMIT_MULTIPART_HEAD_BYTES;

    hit = memmem(p, look, CRLF CRLF, 4);
    *on = hit != NULL;
    if (hit != NULL) {
        w->at += (size_t)(hit - p) + 2;
        return begin_part(m, slice_of(p, (size_t)(hit - p) + 2), e);
    }
    if (left < LIMIT_MULTIPART_HEAD_BYTES)
        return ST_OK;
    return err_set(e, ST_TOO_LARGE, "the headers of a part have more than %d bytes",
                   LIMIT_MULTIPART_HEAD_BYTES);
}

/* Reports what is before `end` of a part. */
static enum status report(struct multipart *m, struct window *w, size_t end, struct err *e)
{
    size_t from = w->at + m->skip;

    if (m->place != DATA || end <= from) {
        if (m->place != DATA)
            w->at = end;
        return ST_OK;
    }
    w->at = end;
    m->skip = 0;
    return m->events.data(m->arg, slice_of(w->in.p + from, end - from), e);
}

/* BEFORE and DATA: up to the next mark, and over it. */
static enum status take_bytes(struct multipart *m, struct window *w, bool *on, struct err *e)
{
    size_t start = 0, after = 0;
    enum mark mark = next_mark(m, w, &start, &after);

    TRY(report(m, w, start, e));
    *on = mark == MARK_NEXT || mark == MARK_LAST;
    if (!*on)
        return ST_OK;
    if (m->place == DATA)
        TRY(m->events.end(m->arg, e));
    m->place = mark == MARK_NEXT ? HEAD : AFTER;
    w->at = after;
    return ST_OK;
}

/* *used: what is dealt with. */
static enum status run(struct multipart *m, struct slice in, size_t *used, struct err *e)
{
    struct window w = {.in = in};
    bool on = true;

    while (on && m->place != AFTER) {
        if (m->place == HEAD)
            TRY(take_head(m, &w, &on, e));
        else
            TRY(take_bytes(m, &w, &on, e));
    }
    *used = m->place == AFTER ? in.n : w.at;
    return ST_OK;
}

enum status multipart_add(struct multipart *m, struct slice bytes, struct err *e)
{
    while (bytes.n != 0) {
        size_t n = bytes.n, used;

        if (m->hold.n == 0) {
            TRY(run(m, bytes, &used, e));
            buf_append(&m->hold, bytes.p + used, bytes.n - used);
        } else {
            n = n < HOLD_STEP ? n : HOLD_STEP;
            buf_append(&m->hold, bytes.p, n);
            TRY(run(m, buf_slice(&m->hold), &used, e));
            m->hold.n -= used;
            memmove(m->hold.p, m->hold.p + used, m->hold.n);
        }
        ASSERT(buf_ok(&m->hold) && m->hold.n <= HOLD_STEP);
        bytes = slice_of(bytes.p + n, bytes.n - n);
    }
    return ST_OK;
}

enum status multipart_finish(const struct multipart *m, struct err *e)
{
    if (m->place == BEFORE)
        return err_set(e, ST_BAD_REQUEST, "The multipart body does not have its boundary");
    if (m->place != AFTER)
        return err_set(e, ST_BAD_REQUEST, "The multipart body ends before its last boundary");
    if (m->parts == 0)
        return err_set(e, ST_BAD_REQUEST, "The multipart body has no parts");
    return ST_OK;
}

struct slice multipart_header(struct slice head, const char *name)
{
    while (head.n != 0) {
        struct slice value = slice_cut(&head, '\n'), key;

        value.n -= value.n != 0 && value.p[value.n - 1] == '\r';
        key = slice_cut(&value, ':');
        if (value.p != NULL && slice_ieq(key, slice_str(name)))
            return slice_trim(value);
    }
    return slice_of(NULL, 0);
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

void multipart_line(struct buf *out, const char *name, struct slice value)
{
    buf_str(out, CRLF);
    buf_str(out, name);
    buf_str(out, ": ");
    add_line(out, value);
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
