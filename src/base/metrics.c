/* base/metrics.c: the counters and their names. Any thread. */
#include "base/metrics.h"

#include "base/assert.h"

_Atomic uint64_t metrics_values[METRIC_COUNT];

static const char *const statuses[] = {
    "200", "201", "202", "204", "206", "301", "302", "304", "400", "401", "403", "404", "405",
    "406", "409", "410", "412", "413", "414", "415", "416", "500", "501", "503", "507", "other"};
enum { STATUSES = sizeof(statuses) / sizeof(statuses[0]) };
_Static_assert(STATUSES == METRIC_STATUS_LAST - METRIC_STATUS_FIRST + 1, "a counter for each");

static const struct metric_info infos[METRIC_STATUS_FIRST] = {
    [METRIC_REQUESTS] = {"httpd", "requests", NULL, "number of HTTP requests", false},
    [METRIC_REQUEST_BYTES] = {"httpd", "request_bytes", NULL, "bytes of request bodies", false},
    [METRIC_RESPONSE_BYTES] = {"httpd", "response_bytes", NULL, "bytes of response bodies", false},
    [METRIC_FEEDS] = {"httpd", "clients_requesting_changes", NULL,
                      "number of clients for longpoll, continuous and eventsource _changes", true},
    [METRIC_DOC_READS] = {NULL, "database_reads", NULL, "number of document bodies read", false},
    [METRIC_DOC_WRITES] = {NULL, "document_writes", NULL, "number of document revisions written",
                           false},
    [METRIC_COMMITS] = {NULL, "commits", NULL, "number of durable group commits of documents",
                        false},
    [METRIC_COPY] = {"httpd_request_methods", "COPY", "method", "number of COPY requests", false},
    [METRIC_DELETE] = {"httpd_request_methods", "DELETE", "method", "number of DELETE requests",
                       false},
    [METRIC_GET] = {"httpd_request_methods", "GET", "method", "number of GET requests", false},
    [METRIC_HEAD] = {"httpd_request_methods", "HEAD", "method", "number of HEAD requests", false},
    [METRIC_OPTIONS] = {"httpd_request_methods", "OPTIONS", "method", "number of OPTIONS requests",
                        false},
    [METRIC_POST] = {"httpd_request_methods", "POST", "method", "number of POST requests", false},
    [METRIC_PUT] = {"httpd_request_methods", "PUT", "method", "number of PUT requests", false},
    [METRIC_OTHER_METHOD] = {"httpd_request_methods", "other", "method",
                             "number of requests with another method", false},
};

void metrics_status(unsigned code)
{
    const char text[] = {(char)('0' + code / 100 % 10), (char)('0' + code / 10 % 10),
                         (char)('0' + code % 10)};
    unsigned i = 0;

    while (i < STATUSES - 1 && __builtin_memcmp(statuses[i], text, sizeof(text)) != 0)
        i++;
    metrics_add((enum metric)(METRIC_STATUS_FIRST + i), 1);
}

struct metric_info metrics_info(enum metric m)
{
    ASSERT((unsigned)m < METRIC_COUNT);
    if ((unsigned)m < METRIC_STATUS_FIRST)
        return infos[m];
    return (struct metric_info){"httpd_status_codes", statuses[m - METRIC_STATUS_FIRST], "code",
                                "number of HTTP answers with this status", false};
}
