/* mango/find_priv.h: how a _find without a vector clause is answered: planning shared by running
 * and explaining. There is one index yet, the documents by id, so a plan is a range of ids, a
 * direction and where to go on.
 */
#ifndef MANGO_FIND_PRIV_H
#define MANGO_FIND_PRIV_H
#include "mango/find.h"
#include "mango/selector_priv.h"

#define FIND_NO_INDEX "No matching index found, create an index to optimize query time."
#define FIND_HIGH_RATIO                                                                            \
    "The number of documents examined is high in proportion to the number of results returned. "   \
    "Consider adding a more specific index to improve this."
enum { FIND_RATIO = 10 };

struct find_plan {
    bool descending;
    bool by_id;          /* the selector is a range of ids and nothing else */
    bool has_lo, has_hi; /* ids outside cannot match; the ends can */
    struct slice lo, hi;
    bool resume; /* strictly after `after` in the direction */
    struct slice after;
    const char *unused_index; /* warning about use_index, or NULL */
};
/* no_usable_index, invalid_sort_*, invalid_bookmark, invalid_index. */
enum status find_plan_make(const struct find_request *rq, struct arena *a, struct find_plan *out,
                           struct err *e) MUST_CHECK;
/* What the next request sends to go on after this id; base64url without padding. */
struct slice find_bookmark(struct arena *a, bool descending, struct slice last);
#endif
