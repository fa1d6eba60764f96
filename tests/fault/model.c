/* tests/fault/model.c: see model.h. One thread. */
#include "model.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "base/fs.h"

enum { PATH_BYTES = 4096, TRACE_BYTES = 1 << 30, PAGE = 4096, FDS = 65536 };
#define NO_INODE UINT32_MAX

void fault_die(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)fputs("fault: ", stderr);
    (void)vfprintf(stderr, fmt, ap);
    (void)fputc('\n', stderr);
    va_end(ap);
    exit(2); /* NOLINT(concurrency-mt-unsafe): one thread */
}

uint64_t fault_random(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

struct model *model_new(void)
{
    struct model *m = mem_zalloc(sizeof *m);

    m->a = arena_new();
    m->inodes_cap = 64;
    m->inodes = mem_array(m->inodes_cap, sizeof *m->inodes);
    m->inodes[0] = (struct model_inode){.dir = true};
    m->ninodes = 1;
    return m;
}

void model_free(struct model *m)
{
    if (m == NULL)
        return;
    mem_free(m->ops);
    mem_free(m->inodes);
    mem_free(m->first);
    arena_free(m->a);
    mem_free(m);
}

static uint32_t add_inode(struct model *m, bool dir, struct slice initial)
{
    if (m->ninodes == m->inodes_cap) {
        m->inodes_cap *= 2;
        m->inodes = mem_realloc(m->inodes, m->inodes_cap * sizeof *m->inodes);
    }
    m->inodes[m->ninodes] = (struct model_inode){dir, initial};
    return (uint32_t)m->ninodes++;
}

static struct slice whole_file(struct model *m, const char *path)
{
    struct err e;
    struct slice s;
    struct buf b;

    buf_init(&b, TRACE_BYTES);
    if (fs_read_file(path, &b, &e) != ST_OK)
        fault_die("%s", e.reason);
    s = arena_dup(m->a, buf_slice(&b));
    buf_free(&b);
    return s;
}

/* ---- what is there before ---- */

struct loading {
    struct model *m;
    uint32_t dir;
    const char *path;
};

static enum status load_name(void *arg, const char *name)
{
    const struct loading *l = arg;
    struct model *m = l->m;
    char path[PATH_BYTES];
    struct stat sb;
    uint32_t ino;

    if (snprintf(path, sizeof path, "%s/%s", l->path, name) >= PATH_BYTES || stat(path, &sb) != 0)
        fault_die("cannot read %s", path);
    ino = S_ISDIR(sb.st_mode) ? add_inode(m, true, (struct slice){0})
                              : add_inode(m, false, whole_file(m, path));
    if (m->nfirst == m->first_cap) {
        m->first_cap = m->first_cap * 2 + 32;
        m->first = mem_realloc(m->first, m->first_cap * sizeof *m->first);
    }
    m->first[m->nfirst++] = (struct model_name){l->dir, ino, arena_cstr(m->a, slice_str(name))};
    if (S_ISDIR(sb.st_mode)) {
        struct loading below = {m, ino, path};
        struct err e;

        /* NOLINTNEXTLINE(misc-no-recursion): as deep as a data directory, 4 */
        if (fs_list(path, load_name, &below, &e) != ST_OK)
            fault_die("%s", e.reason);
    }
    return ST_OK;
}

void model_begin_with(struct model *m, const char *dir)
{
    struct loading l = {m, 0, dir};
    struct err e;

    if (fs_list(dir, load_name, &l, &e) != ST_OK)
        fault_die("%s", e.reason);
}

/* ---- names, now ---- */

struct names {
    struct model_name *v;
    size_t n, cap;
};

static uint32_t names_find(const struct names *t, uint32_t dir, const char *name, size_t n)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->v[i].dir == dir && strlen(t->v[i].name) == n && memcmp(t->v[i].name, name, n) == 0)
            return t->v[i].ino;
    return NO_INODE;
}

static void names_del(struct names *t, uint32_t dir, const char *name)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->v[i].dir == dir && strcmp(t->v[i].name, name) == 0) {
            t->v[i] = t->v[--t->n];
            return;
        }
}

static void names_set(struct names *t, uint32_t dir, const char *name, uint32_t ino)
{
    names_del(t, dir, name);
    if (t->n == t->cap) {
        t->cap = t->cap * 2 + 64;
        t->v = mem_realloc(t->v, t->cap * sizeof *t->v);
    }
    t->v[t->n++] = (struct model_name){dir, ino, name};
}

static void names_apply(struct names *t, const struct fsop *op)
{
    if (op->kind == TRACE_CREATE || op->kind == TRACE_MKDIR)
        names_set(t, op->dir, op->name, op->ino);
    if (op->kind == TRACE_UNLINK || op->kind == TRACE_RENAME)
        names_del(t, op->dir, op->name);
    if (op->kind == TRACE_RENAME)
        names_set(t, op->dir2, op->name2, op->ino);
}

static struct names names_first(const struct model *m)
{
    struct names t = {0};

    for (size_t i = 0; i < m->nfirst; i++)
        names_set(&t, m->first[i].dir, m->first[i].name, m->first[i].ino);
    return t;
}

/* ---- reading a trace ---- */

struct reading {
    struct model *m;
    struct names now;
    uint32_t *fds;
    const char *root;
};

/* Directory and last name of a path below root; the root itself: dir NO_INODE. */
static void split(struct reading *r, struct slice path, uint32_t *dir, char **name)
{
    size_t at = strlen(r->root), n;

    *dir = NO_INODE;
    *name = NULL;
    for (uint32_t here = 0; at < path.n; at += n) {
        while (at < path.n && path.p[at] == '/')
            at++;
        for (n = 0; at + n < path.n && path.p[at + n] != '/';)
            n++;
        if (n == 0)
            break;
        if (*name != NULL)
            here = names_find(&r->now, *dir, *name, strlen(*name));
        if (here == NO_INODE)
            fault_die("trace: no directory for %.*s", (int)path.n, path.p);
        *dir = here;
        *name = arena_cstr(r->m->a, slice_of(path.p + at, n));
    }
}

static uint32_t find(struct reading *r, struct slice path)
{
    uint32_t dir, ino;
    char *name;

    split(r, path, &dir, &name);
    ino = name == NULL ? 0 : names_find(&r->now, dir, name, strlen(name));
    if (ino == NO_INODE)
        fault_die("trace: %.*s is not there", (int)path.n, path.p);
    return ino;
}

static void add_op(struct model *m, struct fsop op)
{
    if (m->n == m->cap) {
        m->cap = m->cap * 2 + 256;
        m->ops = mem_realloc(m->ops, m->cap * sizeof *m->ops);
    }
    m->ops[m->n++] = op;
}

static void read_name_op(struct reading *r, struct fsop *op, struct slice path1, struct slice path2)
{
    char *name;

    split(r, path1, &op->dir, &name);
    op->name = name;
    if (name == NULL)
        fault_die("trace: a change of the root");
    if (op->kind == TRACE_CREATE || op->kind == TRACE_MKDIR)
        op->ino = add_inode(r->m, op->kind == TRACE_MKDIR, (struct slice){0});
    else
        op->ino = find(r, path1);
    op->dir2 = op->dir;
    if (op->kind == TRACE_RENAME) {
        split(r, path2, &op->dir2, &name);
        op->name2 = name;
    }
    names_apply(&r->now, op);
}

static void read_rec(struct reading *r, const struct trace_rec *t, struct slice path1,
                     struct slice path2, const char *data)
{
    struct fsop op = {.kind = (enum trace_kind)t->kind, .off = t->off, .len = t->len, .data = data};

    switch (op.kind) {
    case TRACE_START:
    case TRACE_CLOSE:
        return;
    case TRACE_OPEN:
        r->fds[t->fd] = find(r, path1);
        return;
    case TRACE_CREATE:
    case TRACE_MKDIR:
    case TRACE_RENAME:
    case TRACE_UNLINK:
        read_name_op(r, &op, path1, path2);
        break;
    case TRACE_WRITE:
    case TRACE_TRUNC:
    case TRACE_GROW:
    case TRACE_SYNC:
    case TRACE_LOST:
        op.ino = r->fds[t->fd];
        break;
    case TRACE_MARK:
        break;
    }
    add_op(r->m, op);
}

bool fsop_is_bytes(const struct fsop *op)
{
    return op->kind == TRACE_WRITE || op->kind == TRACE_TRUNC || op->kind == TRACE_GROW;
}

bool fsop_is_name(const struct fsop *op)
{
    return op->kind == TRACE_CREATE || op->kind == TRACE_MKDIR || op->kind == TRACE_RENAME ||
           op->kind == TRACE_UNLINK;
}

/* Backwards: the next sync of each inode, and of anything. */
static void find_syncs(struct model *m)
{
    size_t *next = mem_array(m->ninodes, sizeof *next), any = SIZE_MAX;

    for (size_t i = 0; i < m->ninodes; i++)
        next[i] = SIZE_MAX;
    for (size_t i = m->n; i-- > 0;) {
        struct fsop *op = &m->ops[i];

        if (op->kind == TRACE_SYNC) {
            next[op->ino] = i;
            any = op->off == 0 ? i : any; /* fdatasync need not write the journal */
        }
        if (op->kind == TRACE_LOST && !m->inodes[op->ino].dir)
            next[op->ino] = SIZE_MAX;
        op->journaled = any;
        if (fsop_is_bytes(op))
            op->synced = next[op->ino];
        if (fsop_is_name(op)) {
            op->synced = next[op->dir] > next[op->dir2] ? next[op->dir] : next[op->dir2];
            op->journaled = op->synced < any ? op->synced : any;
        }
    }
    mem_free(next);
}

void model_read(struct model *m, const char *trace, const char *root)
{
    struct reading r = {.m = m, .root = root, .now = names_first(m)};
    size_t at = 0;

    r.fds = mem_array(FDS, sizeof *r.fds);
    m->trace = whole_file(m, trace);
    while (at < m->trace.n) {
        const char *p = m->trace.p + at + sizeof(struct trace_rec);
        struct trace_rec t;
        bool data;

        if (m->trace.n - at < sizeof t)
            break;
        memcpy(&t, m->trace.p + at, sizeof t);
        data = t.kind == TRACE_WRITE || t.kind == TRACE_MARK;
        if (m->trace.n - at < sizeof t + t.n1 + t.n2 + (data ? t.len : 0))
            break;
        if (t.fd < 0 || t.fd >= FDS)
            fault_die("%s makes no sense at %zu", trace, at);
        at += sizeof t + t.n1 + t.n2 + (data ? t.len : 0);
        read_rec(&r, &t, slice_of(p, t.n1), slice_of(p + t.n1, t.n2), p + t.n1 + t.n2);
    }
    if (at != m->trace.n && !m->killed)
        fault_die("%s ends early", trace);
    mem_free(r.fds);
    mem_free(r.now.v);
    find_syncs(m);
}

/* ---- images ---- */

struct content {
    struct buf b; /* what follows up to size is zeros */
    uint64_t size;
};

static bool is_durable(const struct fsop *op, const struct choice *c)
{
    return (c->journal && fsop_is_name(op) ? op->journaled : op->synced) < c->prefix;
}

static void fill(struct content *f, uint64_t to)
{
    if (to > f->b.n)
        memset(buf_extend(&f->b, to - f->b.n), 0, to - f->b.n);
}

/* A piece of a pending write, as its page may look; `old` is what is there before it, old_n bytes.
 * Bytes that the write does not change stay: the assumption is called powersafe overwrite. */
static void spoil(const char *old, uint64_t old_n, char *p, uint64_t n, const struct choice *c,
                  uint64_t *seed)
{
    uint64_t r = fault_random(seed);
    bool zero = c->pages == PAGES_ZERO || (c->pages == PAGES_MIXED && r % 3 == 0);
    bool garbage = c->pages == PAGES_GARBAGE || (c->pages == PAGES_MIXED && r % 3 == 1);

    for (uint64_t k = 0; k < n && (zero || garbage); k++)
        if (k >= old_n || old[k] != p[k])
            p[k] = zero ? 0 : (char)fault_random(seed);
}

static void write_spoilt(struct content *f, const struct fsop *op, uint64_t n, size_t i,
                         const struct choice *c)
{
    uint64_t seed = c->seed ^ i * 0x100000001b3u;
    uint64_t had = f->b.n;
    char piece[PAGE];

    fill(f, op->off + n);
    for (uint64_t at = 0; at < n;) {
        uint64_t off = op->off + at, len = PAGE - off % PAGE;

        len = len < n - at ? len : n - at;
        memcpy(piece, op->data + at, len);
        spoil(f->b.p + off, had > off ? had - off : 0, piece, len, c, &seed);
        memcpy(f->b.p + off, piece, len);
        at += len;
    }
}

static void apply_bytes(struct content *f, const struct model *m, size_t i, const struct choice *c)
{
    const struct fsop *op = &m->ops[i];
    uint64_t n = op->len;

    if (op->kind == TRACE_GROW) {
        f->size = f->size > op->off + n ? f->size : op->off + n;
    } else if (op->kind == TRACE_TRUNC) {
        f->size = n;
        f->b.n = f->b.n < n ? f->b.n : n;
    } else {
        if (i == c->torn)
            n = c->torn_bytes;
        if (n == 0)
            return; /* torn before its first byte */
        if (c->pages != PAGES_REAL && !is_durable(op, c)) {
            write_spoilt(f, op, n, i, c);
        } else {
            fill(f, op->off + n);
            memcpy(f->b.p + op->off, op->data, n);
        }
        f->size = f->size > f->b.n ? f->size : f->b.n;
    }
}

static void content_of(const struct model *m, const struct choice *c, uint32_t ino,
                       struct content *f)
{
    struct slice s = m->inodes[ino].initial;

    buf_clear(&f->b);
    buf_add(&f->b, s);
    f->size = s.n;
    for (size_t i = 0; i < c->prefix; i++) {
        const struct fsop *op = &m->ops[i];

        if (op->ino == ino && fsop_is_bytes(op) && (is_durable(op, c) || c->keep[i]))
            apply_bytes(f, m, i, c);
    }
    if (!buf_ok(&f->b))
        fault_die("a file is too large");
}

static struct names names_of(const struct model *m, const struct choice *c)
{
    struct names t = names_first(m);

    for (size_t i = 0; i < c->prefix; i++)
        if (fsop_is_name(&m->ops[i]) && (is_durable(&m->ops[i], c) || c->keep[i]))
            names_apply(&t, &m->ops[i]);
    return t;
}

uint64_t model_hash(const struct model *m, const struct choice *c)
{
    struct names t = names_of(m, c);
    struct content f;
    uint64_t h = 0;

    buf_init(&f.b, TRACE_BYTES);
    for (size_t i = 0; i < t.n; i++) {
        uint64_t one[5] = {t.v[i].dir, t.v[i].ino, hash64(t.v[i].name, strlen(t.v[i].name))};

        if (!m->inodes[t.v[i].ino].dir) {
            content_of(m, c, t.v[i].ino, &f);
            one[3] = f.size;
            one[4] = hash64(f.b.p, f.b.n);
        }
        h += hash64(one, sizeof one); /* the order of names means nothing */
    }
    buf_free(&f.b);
    mem_free(t.v);
    return h;
}

static void write_file(const char *path, const struct content *f)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);

    if (fd < 0 || write(fd, f->b.p, f->b.n) != (ssize_t)f->b.n ||
        ftruncate(fd, (off_t)f->size) != 0)
        fault_die("cannot write %s", path);
    (void)close(fd);
}

static void write_dir(const struct model *m, const struct choice *c, const struct names *t,
                      uint32_t dir, const char *path)
{
    struct content f;

    buf_init(&f.b, TRACE_BYTES);
    for (size_t i = 0; i < t->n; i++) {
        char below[PATH_BYTES];

        if (t->v[i].dir != dir)
            continue;
        if (snprintf(below, sizeof below, "%s/%s", path, t->v[i].name) >= PATH_BYTES)
            fault_die("a path is too long");
        if (m->inodes[t->v[i].ino].dir) {
            if (mkdir(below, 0700) != 0)
                fault_die("cannot make %s", below);
            /* NOLINTNEXTLINE(misc-no-recursion): as deep as a data directory, 4 */
            write_dir(m, c, t, t->v[i].ino, below);
        } else {
            content_of(m, c, t->v[i].ino, &f);
            write_file(below, &f);
        }
    }
    buf_free(&f.b);
}

void model_write(const struct model *m, const struct choice *c, const char *dir)
{
    struct names t = names_of(m, c);

    write_dir(m, c, &t, 0, dir);
    mem_free(t.v);
}
