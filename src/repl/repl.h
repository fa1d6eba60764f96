/* repl/repl.h: replication jobs: pull from a remote Couch into a local database (couchdb-surface
 * A.8, B.2). The only folder that includes libcurl. A job runs on a thread of its own;
 * LIMIT_REPL_JOBS. */
#ifndef REPL_REPL_H
#define REPL_REPL_H
#include "couch/stores.h"
#include "json/json.h"

struct repl;
struct repl *repl_new(struct stores *all);
/* Ends every job and waits for it; later starts get ST_UNAVAILABLE. Before http_stop, which waits
 * for requests that are parked on jobs. */
void repl_stop(struct repl *r);
void repl_free(struct repl *r); /* after http_stop; NULL is fine */

struct repl_job; /* one POST /_replicate */
/* Parses the body (A.8) and starts a job, or finds the one to cancel. One-shot: when it ends, for
 * whatever reason, done(arg) runs once on the job's thread; then repl_result. Continuous: done runs
 * at once after the start. ST_BAD_REQUEST, ST_NOT_FOUND (cancel), ST_UNAVAILABLE. */
enum status repl_start(struct repl *r, const struct json *body, void (*done)(void *arg), void *arg,
                       struct repl_job **out, struct err *e) MUST_CHECK;
/* After done(): the HTTP answer: appends {"ok":true,"session_id",...,"history":[..]} or
 * {"ok":true,"_local_id":..} ; *accepted: 202. Releases the job handle. */
enum status repl_result(struct repl_job *j, struct buf *out, bool *accepted,
                        struct err *e) MUST_CHECK;
/* Rows of _active_tasks of type replication; each preceded by a comma if *n > 0. */
void repl_tasks(struct repl *r, struct buf *out, unsigned *n);
/* Running jobs as objects of _scheduler/jobs, commas between; *total counts all that run. */
struct repl_page {
    struct slice id; /* only this one ("<id>" or "<id>+continuous"); empty: all */
    uint64_t skip, limit;
};
void repl_jobs(struct repl *r, const struct repl_page *page, struct buf *out, unsigned *total);
#endif
