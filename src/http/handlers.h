/* http/handlers.h: every endpoint. A handler reads the request into a struct, calls the engine once
 * and describes the result; it never maps an error to a code and never touches storage. */
#ifndef HTTP_HANDLERS_H
#define HTTP_HANDLERS_H
#include "http/request.h"

/* h_server.c */
enum status h_root(struct request *rq, struct reply *rp);
enum status h_up(struct request *rq, struct reply *rp);
enum status h_uuids(struct request *rq, struct reply *rp);
enum status h_all_dbs(struct request *rq, struct reply *rp);
enum status h_active_tasks(struct request *rq, struct reply *rp);
/* What the handler wrote is the answer: 200 with an ETag of it, or 304. */
void reply_tagged(struct request *rq, struct reply *rp);
/* The databases that ?startkey= and the like leave, in their order. */
enum status db_names(struct request *rq, struct slice **out, size_t *n) MUST_CHECK;
/* h_session.c */
enum status h_session(struct request *rq, struct reply *rp);
enum status h_session_post(struct request *rq, struct reply *rp);
enum status h_session_delete(struct request *rq, struct reply *rp);
/* h_db.c */
struct json *db_info_json(struct arena *a, struct db *db); /* what GET /{db} says */
enum status h_db_get(struct request *rq, struct reply *rp);
enum status h_db_put(struct request *rq, struct reply *rp);
enum status h_db_delete(struct request *rq, struct reply *rp);
enum status h_db_security_get(struct request *rq, struct reply *rp);
enum status h_db_security_put(struct request *rq, struct reply *rp);
enum status h_db_revs_limit_get(struct request *rq, struct reply *rp);
enum status h_db_revs_limit_put(struct request *rq, struct reply *rp);
enum status h_db_purged_infos_limit_get(struct request *rq, struct reply *rp);
enum status h_db_purged_infos_limit_put(struct request *rq, struct reply *rp);
enum status h_db_ensure_full_commit(struct request *rq, struct reply *rp);
/* Of an operation of rq->batch; its error becomes the request's. */
enum status rq_outcome(struct request *rq, const struct commit_op *op) MUST_CHECK;
/* Changes the properties of what->db that what names. */
enum status rq_change_props(struct request *rq, const struct commit_op *what) MUST_CHECK;
/* h_purge.c */
enum status h_purge(struct request *rq, struct reply *rp);
enum status h_purged_infos(struct request *rq, struct reply *rp);
/* h_doc.c */
enum status h_doc_get(struct request *rq, struct reply *rp);
enum status doc_body_begin(struct request *rq, struct reply *rp); /* of PUT and POST */
enum status h_doc_put(struct request *rq, struct reply *rp);
enum status h_doc_post(struct request *rq, struct reply *rp);
enum status h_doc_delete(struct request *rq, struct reply *rp);
/* h_multipart.c: documents in parts. */
struct doc_open;
struct doc_edit;
struct docinfo;
struct doc_read_opts;
/* The revisions that want names, as multipart/mixed; those with attachments to send are
 * multipart/related inside. */
enum status reply_mixed(struct request *rq, struct reply *rp, struct db *db,
                        const struct doc_open *want, const struct doc_read_opts *opts) MUST_CHECK;
/* _bulk_get's items as multipart/mixed. */
void reply_bulk_mixed(struct request *rq, struct reply *rp, struct db *db, const struct json *items,
                      bool latest, const struct doc_read_opts *opts);
/* One revision with its attachments as multipart/related; as JSON when none is to be sent. */
enum status reply_related(struct request *rq, struct reply *rp, struct db *db,
                          const struct docinfo *info, int node,
                          const struct doc_read_opts *opts) MUST_CHECK;
/* Before a multipart/related body: its sink. After it: the document and its attachments, into ed.
 */
enum status related_begin(struct request *rq) MUST_CHECK;
enum status related_end(struct request *rq, struct doc_edit *ed) MUST_CHECK;
/* h_attach_get.c */
enum status h_att_get(struct request *rq, struct reply *rp);
/* h_attach.c */
enum status att_put_begin(struct request *rq, struct reply *rp);
enum status h_att_put(struct request *rq, struct reply *rp);
enum status h_att_delete(struct request *rq, struct reply *rp);
/* h_bulk.c */
enum status h_bulk_docs(struct request *rq, struct reply *rp);
enum status h_bulk_get(struct request *rq, struct reply *rp);
enum status h_revs_diff(struct request *rq, struct reply *rp);
enum status h_missing_revs(struct request *rq, struct reply *rp);
/* h_all_docs.c */
enum status h_all_docs(struct request *rq, struct reply *rp);
enum status h_design_docs(struct request *rq, struct reply *rp);
enum status h_local_docs(struct request *rq, struct reply *rp);
/* h_queries.c */
enum status h_all_docs_queries(struct request *rq, struct reply *rp);
enum status h_design_docs_queries(struct request *rq, struct reply *rp);
enum status h_local_docs_queries(struct request *rq, struct reply *rp);
enum status h_dbs_info(struct request *rq, struct reply *rp);
enum status h_shards(struct request *rq, struct reply *rp);
enum status h_sync_shards(struct request *rq, struct reply *rp);
enum status h_view_cleanup(struct request *rq, struct reply *rp);
enum status h_auto_purge(struct request *rq, struct reply *rp);
enum status h_auto_purge_set(struct request *rq, struct reply *rp);
enum status h_time_seq(struct request *rq, struct reply *rp);
enum status h_temp_view(struct request *rq, struct reply *rp);
/* h_copy.c */
enum status h_doc_copy(struct request *rq, struct reply *rp);
/* h_node.c: the node as operators see it. */
/* ST_NOT_FOUND unless {node} is this one; h_node.c. */
enum status rq_node(struct request *rq) MUST_CHECK;
enum status h_no_page(struct request *rq, struct reply *rp); /* 404 */
enum status h_membership(struct request *rq, struct reply *rp);
enum status h_cluster_setup(struct request *rq, struct reply *rp);
enum status h_node_name(struct request *rq, struct reply *rp);
enum status h_node_versions(struct request *rq, struct reply *rp);
enum status h_node_system(struct request *rq, struct reply *rp);
enum status h_node_stats(struct request *rq, struct reply *rp);
enum status h_node_prometheus(struct request *rq, struct reply *rp);
enum status h_scheduler_jobs(struct request *rq, struct reply *rp);
enum status h_scheduler_docs(struct request *rq, struct reply *rp);
/* h_config.c */
enum status h_node_config(struct request *rq, struct reply *rp);
enum status h_node_config_set(struct request *rq, struct reply *rp);
enum status h_node_config_reload(struct request *rq, struct reply *rp);
/* h_changes.c */
enum status h_changes(struct request *rq, struct reply *rp);
struct changes_opts;
/* changes_filter.c: what ?filter= asks for, into opts; in the request's memory. */
enum status changes_filter_parse(struct request *rq, struct db *db,
                                 struct changes_opts *opts) MUST_CHECK;
/* h_design.c: 501 where JavaScript would be needed. */
enum status h_ddoc_function(struct request *rq, struct reply *rp);
enum status h_view(struct request *rq, struct reply *rp);
enum status h_ddoc_info(struct request *rq, struct reply *rp);
/* h_partition.c */
/* "p:" of a route with {p}, whose database must be partitioned; empty of other routes. */
enum status rq_partition(struct request *rq, struct slice *prefix) MUST_CHECK;
/* A _find request's body, its selector narrowed to ids with that prefix; empty: as it is. */
const struct json *rq_partition_body(struct request *rq, const struct json *body,
                                     struct slice prefix);
enum status h_partition(struct request *rq, struct reply *rp);
/* h_db_updates.c */
enum status h_db_updates(struct request *rq, struct reply *rp);
/* h_find.c */
enum status h_find(struct request *rq, struct reply *rp);
enum status h_explain(struct request *rq, struct reply *rp);
enum status h_index_list(struct request *rq, struct reply *rp);
enum status h_index_create(struct request *rq, struct reply *rp);
enum status h_index_delete(struct request *rq, struct reply *rp);
enum status h_vector_info(struct request *rq, struct reply *rp);
enum status h_vector_cleanup(struct request *rq, struct reply *rp);
enum status h_db_compact(struct request *rq, struct reply *rp);
enum status h_compact_ddoc(struct request *rq, struct reply *rp);
/* h_replicate.c */
enum status h_replicate(struct request *rq, struct reply *rp);

/* The operation's answer {"ok":true,"id":..,"rev":..}, Location and ETag. */
void reply_written(struct request *rq, struct reply *rp, const struct commit_op *op);
/* ?rev= of what is read; empty: none was named. ST_BAD_REQUEST: it was, and is empty. */
enum status rq_read_rev(struct request *rq, struct slice *out) MUST_CHECK;
#endif
