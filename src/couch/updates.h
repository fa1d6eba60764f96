/* couch/updates.h: what happened to the databases of a server, for GET /_db_updates: each database
 * once, with the last thing that happened to it, in the order of these.
 *
 * It is kept in memory: after a start every database is there as if it had just been updated, under
 * sequence numbers of a new row, so that nobody who comes back misses one. Of databases that are
 * gone the last LIMIT_GONE_DATABASES are remembered.
 * Threads: updates_note by the committer; the rest by any.
 */
#ifndef COUCH_UPDATES_H
#define COUCH_UPDATES_H
#include "couch/db.h"

enum db_update { DB_CREATED, DB_UPDATED, DB_DELETED };
struct updates;
struct updates *store_updates(struct store *s);

struct update_row {
    struct slice name;
    enum db_update what;
    uint64_t seq;
};
/* Rows with seq > since, oldest first; arena. *last: the newest sequence, of a row or not. */
void updates_list(struct updates *u, uint64_t since, struct arena *a, struct update_row **rows,
                  size_t *n, uint64_t *last);
void updates_seq_write(const struct updates *u, struct buf *b, uint64_t seq); /* no quotes */
/* Ours, a bare integer, quoted or not, or "now"; one of an earlier life of the server reads as 0.
 * ST_BAD_REQUEST. */
enum status updates_seq_parse(struct updates *u, struct slice text, uint64_t *out,
                              struct err *e) MUST_CHECK;
/* As db_wait and db_wait_cancel. */
bool updates_wait(struct updates *u, struct db_waiter *w);
bool updates_cancel(struct updates *u, struct db_waiter *w);

/* ---- the store's ---- */
struct updates *updates_new(void);
void updates_free(struct updates *u); /* NULL is fine */
/* Waiters that this concerns go before *woken. */
void updates_note(struct updates *u, struct slice name, enum db_update what,
                  struct db_waiter **woken);
#endif
