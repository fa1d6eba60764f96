/* repl/repl.c: the table of jobs: start, cancel, results, tasks. Each running job has a thread; a
 * finished one is joined at the next start or at the end.
 */
#include "repl/repl.h"

#include "base/alloc.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/time.h"
#include "repl/repl_priv.h"

enum { RETRY_MAX_MS = 60000 };

struct repl {
    struct stores *stores;
    struct mutex lock; /* RANK_REPL: jobs, and each job's peer */
    struct repl_job *jobs;
    bool stopping;
};

struct repl *repl_new(struct stores *all)
{
    struct repl *r = mem_zalloc(sizeof(*r));

    r->stores = all;
    peer_init();
    mutex_init(&r->lock, RANK_REPL);
    return r;
}

/* ---- one job's life ---- */

static struct repl_job *job_new(struct repl *r)
{
    struct repl_job *j = mem_zalloc(sizeof(*j));
    struct buf *const bufs[] = {&j->start_seq,      &j->last_seq,    &j->saved_seq,
                                &j->source_log_rev, &j->old_history, &j->start_time};

    j->repl = r;
    j->stores = r->stores;
    j->spec.arena = arena_new();
    j->started_ms = time_wall_ms();
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++)
        buf_init(bufs[i], LIMIT_DOC_BYTES);
    buf_init(&j->answer, LIMIT_DOC_BYTES);
    return j;
}

static void job_unref(struct repl_job *j)
{
    struct buf *const bufs[] = {&j->start_seq,      &j->last_seq,    &j->saved_seq, &j->answer,
                                &j->source_log_rev, &j->old_history, &j->start_time};

    if (atomic_fetch_sub(&j->refs, 1) != 1)
        return;
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++)
        buf_free(bufs[i]);
    arena_free(j->spec.arena);
    mem_free(j);
}

static void write_result(struct repl_job *j)
{
    buf_printf(&j->answer,
               "{\"ok\":true,\"session_id\":\"%s\",\"source_last_seq\":", j->session_id);
    buf_add(&j->answer, buf_slice(&j->last_seq));
    buf_str(&j->answer, ",\"replication_id_version\":4");
    if (atomic_load(&j->stats.missing_checked) == 0)
        buf_str(&j->answer, ",\"no_changes\":true");
    buf_str(&j->answer, ",\"history\":[");
    checkpoint_history_item(j, &j->answer);
    if (j->old_history.n != 0)
        buf_char(&j->answer, ',');
    buf_add(&j->answer, buf_slice(&j->old_history));
    buf_str(&j->answer, "]}");
}

static void set_peer(struct repl_job *j, struct peer *p)
{
    mutex_lock(&j->repl->lock);
    j->peer = p;
    mutex_unlock(&j->repl->lock);
}

static void pull_once(struct repl_job *j)
{
    struct peer *p = peer_new(&j->spec.source, &j->stop);

    set_peer(j, p);
    j->st = repl_pull(j, &j->err);
    set_peer(j, NULL);
    peer_free(p);
    db_release(j->db);
    j->db = NULL;
}

/* A continuous replication goes on after errors, waiting longer each time. It ends with its target:
 * whoever dropped that does not expect it to be made again. */
static void run_continuous(struct repl_job *j)
{
    uint64_t wait_ms = 1000;

    while (atomic_load(&j->stop) == 0) {
        uint64_t began = time_mono_us();

        pull_once(j);
        if (atomic_load(&j->stop) != 0)
            break;
        if (j->target_gone) {
            log_warn("replication %s: ended: %s", j->spec.id, j->err.reason);
            break;
        }
        log_warn("replication %s: %s; trying again", j->spec.id, j->err.reason);
        if (time_mono_us() - began > 60000000)
            wait_ms = 1000;
        for (uint64_t ms = 0; ms < wait_ms && atomic_load(&j->stop) == 0; ms += 20)
            time_sleep_us(20000);
        wait_ms = wait_ms * 2 < RETRY_MAX_MS ? wait_ms * 2 : RETRY_MAX_MS;
    }
}

static void job_thread(void *arg)
{
    struct repl_job *j = arg;

    if (j->spec.continuous) {
        run_continuous(j);
    } else {
        pull_once(j);
        if (j->st == ST_OK)
            write_result(j);
        j->done(j->done_arg);
    }
    atomic_store(&j->ended, 1);
}

/* ---- the table ---- */

/* Takes finished jobs out and joins their threads. */
static void reap(struct repl *r, bool all)
{
    struct repl_job *gone = NULL, **at;

    mutex_lock(&r->lock);
    for (at = &r->jobs; *at != NULL;) {
        struct repl_job *j = *at;

        if (!all && atomic_load(&j->ended) == 0) {
            at = &j->next;
            continue;
        }
        *at = j->next;
        j->next = gone;
        gone = j;
    }
    mutex_unlock(&r->lock);
    while (gone != NULL) {
        struct repl_job *j = gone;

        gone = j->next;
        thread_join(&j->thread);
        job_unref(j);
    }
}

static void stop_job_locked(struct repl_job *j)
{
    atomic_store(&j->stop, 1);
    if (j->peer != NULL)
        peer_wakeup(j->peer);
}

void repl_stop(struct repl *r)
{
    mutex_lock(&r->lock);
    r->stopping = true;
    for (struct repl_job *j = r->jobs; j != NULL; j = j->next)
        stop_job_locked(j);
    mutex_unlock(&r->lock);
    reap(r, true);
}

void repl_free(struct repl *r)
{
    if (r == NULL)
        return;
    mutex_fini(&r->lock);
    mem_free(r);
}

static struct repl_job *find_job_locked(struct repl *r, const char *id)
{
    for (struct repl_job *j = r->jobs; j != NULL; j = j->next)
        if (strcmp(j->spec.id, id) == 0 && atomic_load(&j->ended) == 0)
            return j;
    return NULL;
}

static enum status cancel_job(struct repl *r, struct repl_job *handle, struct err *e)
{
    struct repl_job *j;

    mutex_lock(&r->lock);
    j = find_job_locked(r, handle->spec.id);
    if (j != NULL)
        stop_job_locked(j);
    mutex_unlock(&r->lock);
    if (j == NULL)
        return err_set(e, ST_NOT_FOUND, "missing");
    handle->is_cancel = true;
    return ST_OK;
}

/* ST_EXISTS: this very continuous replication runs already, which is as good as started. */
static enum status add_job(struct repl *r, struct repl_job *j, struct err *e)
{
    enum status st = ST_OK;
    unsigned n = 0;

    mutex_lock(&r->lock);
    for (const struct repl_job *k = r->jobs; k != NULL; k = k->next)
        n++;
    if (r->stopping)
        st = err_set(e, ST_UNAVAILABLE, "the server is stopping");
    else if (n >= LIMIT_REPL_JOBS)
        st = err_set(e, ST_UNAVAILABLE, "%d replications are running", LIMIT_REPL_JOBS);
    else if (j->spec.continuous && find_job_locked(r, j->spec.id) != NULL)
        st = ST_EXISTS;
    if (st == ST_OK) {
        atomic_fetch_add(&j->refs, 1);
        j->next = r->jobs;
        r->jobs = j;
        if (!thread_try_start(&j->thread, "replicator", job_thread, j)) {
            st = err_set(e, ST_UNAVAILABLE, "no thread left for a replication");
            r->jobs = j->next;
            atomic_fetch_sub(&j->refs, 1);
        }
    }
    mutex_unlock(&r->lock);
    return st;
}

/* The request that asked may go away before the job does: what the job needs of it is copied. */
static enum status copy_body(struct repl_job *j, const struct json *body, const struct json **out,
                             struct err *e)
{
    struct buf b;
    enum status st;

    buf_init(&b, LIMIT_REQUEST_BYTES);
    json_write(&b, body);
    st = json_parse(j->spec.arena, arena_dup(j->spec.arena, buf_slice(&b)), out, e);
    buf_free(&b);
    return st;
}

enum status repl_start(struct repl *r, const struct json *body, void (*done)(void *arg), void *arg,
                       struct repl_job **out, struct err *e)
{
    struct repl_job *j = job_new(r);
    const struct json *own;
    bool at_once;
    enum status st;

    atomic_store(&j->refs, 1);
    j->done = done;
    j->done_arg = arg;
    reap(r, false);
    st = copy_body(j, body, &own, e);
    if (st == ST_OK)
        st = repl_spec_parse(own, stores_uuid(r->stores), &j->spec, e);
    at_once = j->spec.continuous || j->spec.cancel;
    *out = j; /* before the thread may call done */
    if (st == ST_OK)
        st = j->spec.cancel ? cancel_job(r, j, e) : add_job(r, j, e);
    if (st == ST_EXISTS)
        st = ST_OK;
    if (st != ST_OK)
        job_unref(j);
    else if (at_once)
        done(arg);
    return st;
}

enum status repl_result(struct repl_job *j, struct buf *out, bool *accepted, struct err *e)
{
    enum status st = ST_OK;

    *accepted = j->spec.continuous && !j->spec.cancel;
    if (j->spec.continuous || j->is_cancel) {
        buf_printf(out, "{\"ok\":true,\"_local_id\":\"%s%s\"}", j->spec.id,
                   j->spec.continuous ? "+continuous" : "");
    } else {
        st = j->st;
        *e = j->err;
        buf_add(out, buf_slice(&j->answer));
    }
    job_unref(j);
    return st;
}

static void write_task(struct repl_job *j, struct buf *out)
{
    struct repl_stats *s = &j->stats;

    buf_printf(out, "{\"type\":\"replication\",\"replication_id\":\"%s\",\"source\":", j->spec.id);
    json_write_str(out, j->spec.source.url);
    buf_str(out, ",\"target\":");
    json_write_str(out, j->spec.target);
    buf_printf(out,
               ",\"continuous\":%s,\"docs_read\":%llu,\"docs_written\":%llu,"
               "\"doc_write_failures\":%llu,\"started_on\":%llu}",
               j->spec.continuous ? "true" : "false", (unsigned long long)s->docs_read,
               (unsigned long long)s->docs_written, (unsigned long long)s->write_failures,
               (unsigned long long)(j->started_ms / 1000));
}

void repl_tasks(struct repl *r, struct buf *out, unsigned *n)
{
    mutex_lock(&r->lock);
    for (struct repl_job *j = r->jobs; j != NULL; j = j->next) {
        if (atomic_load(&j->ended) != 0)
            continue;
        if ((*n)++ > 0)
            buf_char(out, ',');
        write_task(j, out);
    }
    mutex_unlock(&r->lock);
}

static void write_job(struct repl_job *j, struct buf *out)
{
    const struct repl_stats *s = &j->stats;
    char began[32];

    time_rfc3339(j->started_ms, began);
    buf_printf(out, "{\"database\":null,\"id\":\"%s%s\",\"pid\":null,\"source\":", j->spec.id,
               j->spec.continuous ? "+continuous" : "");
    json_write_str(out, j->spec.source.url);
    buf_str(out, ",\"target\":");
    json_write_str(out, j->spec.target);
    buf_printf(out,
               ",\"user\":null,\"doc_id\":null,\"info\":{\"revisions_checked\":%llu,"
               "\"missing_revisions_found\":%llu,\"docs_read\":%llu,\"docs_written\":%llu,"
               "\"doc_write_failures\":%llu}",
               (unsigned long long)s->missing_checked, (unsigned long long)s->missing_found,
               (unsigned long long)s->docs_read, (unsigned long long)s->docs_written,
               (unsigned long long)s->write_failures);
    buf_printf(out,
               ",\"history\":[{\"timestamp\":\"%s\",\"type\":\"started\"},"
               "{\"timestamp\":\"%s\",\"type\":\"added\"}],\"node\":\"nonode@nohost\","
               "\"start_time\":\"%s\"}",
               began, began, began);
}

/* The id's first part decides; "+continuous" may have come as " continuous". */
static bool job_is(const struct repl_job *j, struct slice id)
{
    struct slice own = slice_str(j->spec.id);

    return id.n == 0 || slice_eq(id, own) || (slice_starts(id, own) && id.n == own.n + 11);
}

void repl_jobs(struct repl *r, const struct repl_page *page, struct buf *out, unsigned *total)
{
    uint64_t skip = page->skip, left = page->limit;

    *total = 0;
    mutex_lock(&r->lock);
    for (struct repl_job *j = r->jobs; j != NULL; j = j->next) {
        if (atomic_load(&j->ended) != 0)
            continue;
        (*total)++;
        if (!job_is(j, page->id) || left == 0)
            continue;
        if (skip != 0) {
            skip--;
            continue;
        }
        left--;
        if (out->n != 0)
            buf_char(out, ',');
        write_job(j, out);
    }
    mutex_unlock(&r->lock);
}
