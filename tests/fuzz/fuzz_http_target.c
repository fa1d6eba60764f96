/* tests/fuzz/fuzz_http_target.c: hostile request targets through decoding and the table of routes.
 * The first byte chooses the method. Whoever is nobody may reach four paths and no other.
 */
#include <stdint.h>

#include "base/assert.h"
#include "http/rights.h"
#include "http/router.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Instead of the connection's. */
struct slice rq_header(const struct request *rq, const char *name)
{
    (void)rq;
    return strcmp(name, "Content-Type") == 0 ? SLICE_LIT("application/json") : slice_of(NULL, 0);
}

static bool is_open(struct slice s)
{
    return slice_eq(s, SLICE_LIT("_up")) || slice_eq(s, SLICE_LIT("_session")) ||
           slice_eq(s, SLICE_LIT("_uuids"));
}

static void look(struct request *rq)
{
    for (uint32_t i = 0; i < rq->nseg; i++)
        ASSERT(rq->seg[i].n == 0 || memchr(rq->seg[i].p, '\0', rq->seg[i].n) == NULL);
    if (router_find(rq) != ST_OK) {
        ASSERT(rq->err.reason[0] != '\0');
        return;
    }
    ASSERT(rq->nargs <= ROUTE_ARGS_MAX);
    if (rq->route->need == NEED_NONE || rq->route->need == NEED_USER ||
        rq->route->need == NEED_ADMIN) /* the others look at a database */
        if (router_authorize(rq) == ST_OK)
            ASSERT(rq->nseg == 0 || (rq->nseg == 1 && is_open(rq->seg[0])));
    for (uint32_t i = 0; i < rq->nargs; i++)
        ASSERT(rq->args[i].p != NULL || rq->args[i].n == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct request rq = {.arena = arena_new()};

    rq.method = size != 0 ? (enum method)(1u << (data[0] % 7)) : M_GET;
    if (request_parse(&rq, slice_of(data + (size != 0), size - (size != 0))) == ST_OK)
        look(&rq);
    else
        ASSERT(rq.err.reason[0] != '\0');
    arena_free(rq.arena);
    return 0;
}
