/* base/metrics.h: what the server counts about itself, for _stats and _prometheus.
 *
 * One table of numbers that any thread adds to without a lock; a reader sees each of them at some
 * recent moment, not all at the same one. They start at 0 with the process. metrics_info names
 * them as CouchDB does, where CouchDB has the like.
 */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum metric {
    METRIC_REQUESTS,
    METRIC_REQUEST_BYTES,  /* bodies */
    METRIC_RESPONSE_BYTES, /* bodies */
    METRIC_FEEDS,          /* gauge: _changes feeds that wait for writes */
    METRIC_DOC_READS,
    METRIC_DOC_WRITES,
    METRIC_COMMITS, /* groups with documents: one fdatasync each */
    METRIC_COPY,    /* requests by method ... */
    METRIC_DELETE,
    METRIC_GET,
    METRIC_HEAD,
    METRIC_OPTIONS,
    METRIC_POST,
    METRIC_PUT,
    METRIC_OTHER_METHOD,
    METRIC_200, /* ... and answers by status: METRIC_STATUS_FIRST + n */
    METRIC_STATUS_FIRST = METRIC_200,
    METRIC_STATUS_LAST = METRIC_STATUS_FIRST + 25, /* the last one: any other */
    METRIC_COUNT
};

struct metric_info {
    const char *group; /* "httpd_request_methods"; NULL: none */
    const char *name;  /* "GET" */
    const char *label; /* Prometheus: group{label="name"}; NULL: group_name */
    const char *desc;
    bool gauge;
};

extern _Atomic uint64_t metrics_values[METRIC_COUNT];

static inline void metrics_add(enum metric m, uint64_t n)
{
    atomic_fetch_add_explicit(&metrics_values[m], n, memory_order_relaxed);
}
static inline void metrics_sub(enum metric m, uint64_t n)
{
    atomic_fetch_sub_explicit(&metrics_values[m], n, memory_order_relaxed);
}
static inline uint64_t metrics_get(enum metric m)
{
    return atomic_load_explicit(&metrics_values[m], memory_order_relaxed);
}
/* One answer with this HTTP status. */
void metrics_status(unsigned code);
struct metric_info metrics_info(enum metric m);
#endif
