/* http/rights.h: who may do what. The right of a route is in routes.c; the database's security
 * object says who has it; documents of _users and design documents have rules of their own, which
 * rq_edit_prepare holds: every handler that writes a document goes through it. */
#ifndef HTTP_RIGHTS_H
#define HTTP_RIGHTS_H
#include "http/request.h"

struct doc_edit;

/* With require_valid_user nobody comes in without a name, but to log in and to /_up. */
enum status rights_valid_user(struct request *rq) MUST_CHECK;
/* Whether the user may use this route on this database: ST_UNAUTHORIZED for nobody, ST_FORBIDDEN
 * for somebody, ST_NOT_FOUND when there is no such database. Sets rq->db_admin. */
enum status router_authorize(struct request *rq) MUST_CHECK;
/* Design documents need a database admin; id may be empty. */
enum status rights_may_edit(struct request *rq, struct slice id) MUST_CHECK;
/* doc_edit_prepare for what a client sent: design documents need a database admin, documents of
 * _users obey its rules and have their passwords hashed. These refusals concern one row of
 * _bulk_docs: rights_error_is_row. */
enum status rq_edit_prepare(struct request *rq, struct db *db, struct doc_edit *ed,
                            struct commit_op *op) MUST_CHECK;
bool rights_error_is_row(enum status st);
/* _users, and the user is no admin of it: only the own document is there, without hash and salt. */
bool rights_limited(const struct request *rq);
enum status rights_may_read(struct request *rq, struct slice id) MUST_CHECK;
/* GET of a document by such a user. */
enum status rights_read_user(struct request *rq, struct reply *rp, struct db *db) MUST_CHECK;
#endif
