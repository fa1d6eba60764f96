/* http/h_node.c: the node as operators and their tools see it: who it is, what it runs on, what it
 * counted, how it is set up. There is one node, and CouchDB's name for that. The figures of _system
 * come from /proc/self, those of _stats and _prometheus from base/metrics.h. Runs on workers.
 */
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "base/text.h"
#include "http/handlers.h"
#include "repl/repl.h"
#include "vector/faiss_shim.h"
#include "version.h"

#define NODE_NAME "nonode@nohost"
enum { PROC_BYTES = 1 << 16 };

/* ---- who ---- */

enum status rq_node(struct request *rq)
{
    struct slice n = rq_arg(rq, "node");

    if (slice_eq(n, SLICE_LIT("_local")) || slice_eq(n, SLICE_LIT(NODE_NAME)))
        return ST_OK;
    return err_set(&rq->err, ST_NOT_FOUND, "no such node: %.*s", (int)(n.n < 100 ? n.n : 100), n.p);
}

/* GET /favicon.ico: without a row it would be a database with an impossible name. */
enum status h_no_page(struct request *rq, struct reply *rp)
{
    (void)rp;
    return err_set(&rq->err, ST_NOT_FOUND, "there are no pages here");
}

/* GET /_membership */
enum status h_membership(struct request *rq, struct reply *rp)
{
    (void)rq;
    buf_str(&rp->body, "{\"all_nodes\":[\"" NODE_NAME "\"],\"cluster_nodes\":[\"" NODE_NAME "\"]}");
    reply_body(rp, 200);
    return ST_OK;
}

/* GET, POST /_cluster_setup: it is one node and stays one. */
enum status h_cluster_setup(struct request *rq, struct reply *rp)
{
    static const char *const of_clusters[] = {"enable_cluster", "add_node", "remove_node",
                                              "receive_cookie"};
    const struct json *body, *action;

    if (rq->method != M_POST) {
        buf_str(&rp->body, "{\"state\":\"single_node_enabled\"}");
        reply_body(rp, 200);
        return ST_OK;
    }
    TRY(rq_object(rq, &body));
    action = json_get(body, "action");
    for (size_t i = 0; i < sizeof(of_clusters) / sizeof(of_clusters[0]); i++)
        if (json_is(action, JSON_STRING) && slice_eq(action->text, slice_str(of_clusters[i])))
            return err_set(&rq->err, ST_NOT_IMPLEMENTED,
                           "there are no clusters, only single nodes");
    if (!json_is(action, JSON_STRING) ||
        (!slice_eq(action->text, SLICE_LIT("enable_single_node")) &&
         !slice_eq(action->text, SLICE_LIT("finish_cluster"))))
        return err_set(&rq->err, ST_BAD_REQUEST, "Invalid Action'"); /* CouchDB's, to the letter */
    reply_ok(rp, 201);
    return ST_OK;
}

/* GET /_node/{node} */
enum status h_node_name(struct request *rq, struct reply *rp)
{
    TRY(rq_node(rq));
    buf_str(&rp->body, "{\"name\":\"" NODE_NAME "\"}");
    reply_body(rp, 200);
    return ST_OK;
}

static void put_version(struct arena *a, struct json *o, const char *what, const char *name,
                        const char *version)
{
    struct json *v = json_object(a);

    json_put_cstr(a, v, "name", name);
    json_put_cstr(a, v, "version", version);
    json_put(a, o, what, v);
}

/* GET /_node/{node}/_versions */
enum status h_node_versions(struct request *rq, struct reply *rp)
{
    struct arena *a = rq->arena;
    struct json *o = json_object(a), *c = json_object(a);
    struct json_collation icu;

    TRY(rq_node(rq));
    json_collation_versions(&icu);
    json_put_cstr(a, c, "name", "libicu");
    json_put_str(a, c, "library_version", arena_dup(a, slice_str(icu.library)));
    json_put_str(a, c, "collator_version", arena_dup(a, slice_str(icu.collator)));
    json_put_str(a, c, "collation_algorithm_version", arena_dup(a, slice_str(icu.algorithm)));
    put_version(a, o, "server", "Divan", DIVAN_VERSION);
    json_put(a, o, "collation_driver", c);
    put_version(a, o, "vector_engine", "faiss", faiss_shim_version());
    put_version(a, o, "http", "libmicrohttpd", MHD_get_version());
    reply_json(rp, 200, o);
    return ST_OK;
}

/* ---- _system ---- */

/* "Name:   123 kB" of a /proc file; 0 when it is not there. */
static uint64_t proc_field(struct slice text, const char *name)
{
    struct slice key = slice_str(name);
    uint64_t n = 0;

    while (text.n != 0) {
        struct slice line = slice_cut(&text, '\n');

        if (!slice_starts(line, key) || line.n <= key.n || line.p[key.n] != ':')
            continue;
        for (size_t i = key.n + 1; i < line.n; i++)
            if (line.p[i] >= '0' && line.p[i] <= '9')
                n = n * 10 + (uint64_t)(line.p[i] - '0');
        return n;
    }
    return 0;
}

/* A file of /proc/self; empty when it cannot be read. */
static struct slice proc_read(struct arena *a, const char *path)
{
    struct slice s = slice_of("", 0);
    struct buf b;
    struct err e;

    buf_init(&b, PROC_BYTES);
    if (fs_read_file(path, &b, &e) == ST_OK && buf_ok(&b))
        s = arena_dup(a, buf_slice(&b));
    buf_free(&b);
    return s;
}

/* The i-th field of /proc/self/stat, counted from 1, for those behind the name in parentheses. */
static uint64_t stat_field(struct slice stat, unsigned i)
{
    const char *at = memrchr(stat.p, ')', stat.n), *end = stat.p + stat.n;

    for (unsigned field = 2; at != NULL && field < i; field++) {
        at = memchr(at, ' ', (size_t)(end - at));
        at = at != NULL ? at + 1 : NULL;
    }
    return at != NULL ? strtoull(at, NULL, 10) : 0; /* arena_dup ends it with a NUL */
}

struct process {
    uint64_t uptime_s, cpu_ms, threads, open_files;
    uint64_t rss, rss_peak, anonymous, virtual, read, written, switches;
};

static enum status count_entry(void *arg, const char *name)
{
    uint64_t *n = arg;

    (void)name;
    (*n)++;
    return ST_OK;
}

static void look_at_process(struct arena *a, struct process *p)
{
    struct slice status = proc_read(a, "/proc/self/status"), io = proc_read(a, "/proc/self/io");
    struct slice stat = proc_read(a, "/proc/self/stat");
    uint64_t tick = (uint64_t)sysconf(_SC_CLK_TCK), started;
    struct timespec now = {0};
    struct err e;

    *p = (struct process){.threads = proc_field(status, "Threads"),
                          .rss = proc_field(status, "VmRSS") << 10,
                          .rss_peak = proc_field(status, "VmHWM") << 10,
                          .anonymous = proc_field(status, "RssAnon") << 10,
                          .virtual = proc_field(status, "VmSize") << 10,
                          .read = proc_field(io, "rchar"),
                          .written = proc_field(io, "wchar"),
                          .switches = proc_field(status, "voluntary_ctxt_switches") +
                                      proc_field(status, "nonvoluntary_ctxt_switches")};
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    started = stat_field(stat, 22) / tick;
    if ((uint64_t)now.tv_sec > started)
        p->uptime_s = (uint64_t)now.tv_sec - started;
    p->cpu_ms = (stat_field(stat, 14) + stat_field(stat, 15)) * 1000 / tick;
    if (fs_list("/proc/self/fd", count_entry, &p->open_files, &e) != ST_OK)
        p->open_files = 0;
}

/* GET /_node/{node}/_system */
enum status h_node_system(struct request *rq, struct reply *rp)
{
    struct arena *a = rq->arena;
    struct json *o = json_object(a), *memory = json_object(a);
    struct process p;

    TRY(rq_node(rq));
    look_at_process(a, &p);
    json_put_i64(a, o, "uptime", (int64_t)p.uptime_s);
    json_put_i64(a, memory, "resident", (int64_t)p.rss);
    json_put_i64(a, memory, "resident_peak", (int64_t)p.rss_peak);
    json_put_i64(a, memory, "processes", (int64_t)p.anonymous);
    json_put_i64(a, memory, "virtual", (int64_t)p.virtual);
    json_put(a, o, "memory", memory);
    json_put_i64(a, o, "cpu_ms", (int64_t)p.cpu_ms);
    json_put_i64(a, o, "context_switches", (int64_t)p.switches);
    json_put_i64(a, o, "io_input", (int64_t)p.read);
    json_put_i64(a, o, "io_output", (int64_t)p.written);
    json_put_i64(a, o, "process_count", (int64_t)p.threads);
    json_put_i64(a, o, "open_files", (int64_t)p.open_files);
    json_put_i64(a, o, "os_proc_count", 0);
    json_put(a, o, "message_queues", json_object(a));
    reply_json(rp, 200, o);
    return ST_OK;
}

/* ---- counters ---- */

static const struct json *stats_tree(struct arena *a)
{
    struct json *root = json_object(a), *all = json_object(a), *group = NULL;
    const char *of = NULL;

    json_put(a, root, "couchdb", all);
    for (unsigned m = 0; m < METRIC_COUNT; m++) {
        struct metric_info i = metrics_info((enum metric)m);
        struct json *v = json_object(a);

        json_put_i64(a, v, "value", (int64_t)metrics_get((enum metric)m));
        json_put_cstr(a, v, "type", i.gauge ? "gauge" : "counter");
        json_put_cstr(a, v, "desc", i.desc);
        if (i.group != NULL && (of == NULL || strcmp(of, i.group) != 0)) {
            group = json_object(a);
            json_put(a, all, i.group, group);
        }
        of = i.group;
        json_put(a, i.group != NULL ? group : all, i.name, v);
    }
    return root;
}

/* GET /_node/{node}/_stats, GET /_node/{node}/_stats/couchdb/... */
enum status h_node_stats(struct request *rq, struct reply *rp)
{
    const struct json *v = stats_tree(rq->arena);
    struct slice path = rq_arg(rq, "att");

    TRY(rq_node(rq));
    while (path.n != 0 && v != NULL)
        v = json_get_s(v, slice_cut(&path, '/'));
    if (v == NULL)
        return err_set(&rq->err, ST_NOT_FOUND, "missing");
    reply_json(rp, 200, v);
    return ST_OK;
}

static void prometheus_head(struct buf *b, const char *group, const char *name,
                            const struct metric_info *i)
{
    const char *type = i->gauge ? "gauge" : "counter";

    buf_printf(b, "# HELP couchdb_%s%s %s\n# TYPE couchdb_%s%s %s\n", group, name, i->desc, group,
               name, type);
}

static void prometheus_one(struct buf *b, const struct metric_info *i, uint64_t value)
{
    char name[64];
    const char *sep = i->group != NULL ? "_" : "";

    (void)snprintf(name, sizeof(name), "%s%s%s", sep, i->name, i->gauge ? "" : "_total");
    prometheus_head(b, i->group != NULL ? i->group : "", name, i);
    buf_printf(b, "couchdb_%s%s %llu\n", i->group != NULL ? i->group : "", name,
               (unsigned long long)value);
}

static void prometheus_process(struct request *rq, struct buf *b)
{
    struct process p;

    look_at_process(rq->arena, &p);
    buf_printf(b, "# TYPE couchdb_uptime_seconds counter\ncouchdb_uptime_seconds %llu\n",
               (unsigned long long)p.uptime_s);
    buf_printf(b, "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total %llu.%03u\n",
               (unsigned long long)(p.cpu_ms / 1000), (unsigned)(p.cpu_ms % 1000));
    buf_printf(b,
               "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes %llu\n",
               (unsigned long long)p.rss);
    buf_printf(b, "# TYPE process_open_fds gauge\nprocess_open_fds %llu\n",
               (unsigned long long)p.open_files);
}

/* GET /_node/{node}/_prometheus */
enum status h_node_prometheus(struct request *rq, struct reply *rp)
{
    struct buf *b = &rp->body;
    const char *of = "";

    TRY(rq_node(rq));
    for (unsigned m = 0; m < METRIC_COUNT; m++) {
        struct metric_info i = metrics_info((enum metric)m);
        uint64_t value = metrics_get((enum metric)m);

        if (i.label == NULL) {
            prometheus_one(b, &i, value);
            continue;
        }
        if (strcmp(of, i.group) != 0)
            prometheus_head(b, i.group, "_total", &i);
        of = i.group;
        buf_printf(b, "couchdb_%s_total{%s=\"%s\"} %llu\n", i.group, i.label, i.name,
                   (unsigned long long)value);
    }
    prometheus_process(rq, b);
    rp->content_type = "text/plain; version=2.0";
    rp->code = 200;
    return ST_OK;
}

/* ---- scheduler ---- */

/* GET /_scheduler/jobs, GET /_scheduler/jobs/{id} */
enum status h_scheduler_jobs(struct request *rq, struct reply *rp)
{
    struct slice id = rq_arg(rq, "id");
    uint64_t skip = 0, limit = UINT64_MAX;
    unsigned total = 0;
    struct buf rows;

    TRY(rq_u64(rq, "skip", &skip));
    TRY(rq_u64(rq, "limit", &limit));
    buf_init(&rows, LIMIT_REQUEST_BYTES);
    repl_jobs(rq->svc->repl, &(struct repl_page){id, skip, limit}, &rows, &total);
    if (id.n == 0) {
        buf_printf(&rp->body, "{\"total_rows\":%u,\"offset\":%llu,\"jobs\":[", total,
                   (unsigned long long)skip);
        buf_add(&rp->body, buf_slice(&rows));
        buf_str(&rp->body, "]}");
    } else {
        buf_add(&rp->body, buf_slice(&rows));
    }
    buf_free(&rows);
    if (id.n != 0 && rp->body.n == 0)
        return err_set(&rq->err, ST_NOT_FOUND, "missing");
    reply_body(rp, 200);
    return ST_OK;
}

/* ?states=a,b: their names, in any case. */
static enum status check_states(struct request *rq)
{
    static const char *const known[] = {"initializing", "running", "pending",  "crashing",
                                        "error",        "failed",  "completed"};
    const struct slice *param = rq_param(rq, "states");
    struct slice rest = param != NULL ? *param : SLICE_LIT("");

    while (rest.n != 0) {
        struct slice name = slice_cut(&rest, ',');
        bool found = name.n == 0;

        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
            found = found || slice_ieq(name, slice_str(known[i]));
        if (!found)
            return err_word(&rq->err, ST_BAD_REQUEST, "query_parse_error", "Unknown state: %.*s",
                            (int)(name.n < 100 ? name.n : 100), name.p);
    }
    return ST_OK;
}

/* GET /_scheduler/docs[/{db}[/{docid}]]: replications that a document of _replicator asked for;
 * such documents start nothing yet. */
enum status h_scheduler_docs(struct request *rq, struct reply *rp)
{
    uint64_t page = 0;

    TRY(rq_u64(rq, "limit", &page));
    TRY(rq_u64(rq, "skip", &page));
    TRY(check_states(rq));
    if (rq_arg(rq, "docid").n != 0)
        return err_set(&rq->err, ST_NOT_FOUND, "missing");
    buf_str(&rp->body, "{\"total_rows\":0,\"offset\":0,\"docs\":[]}");
    reply_body(rp, 200);
    return ST_OK;
}
